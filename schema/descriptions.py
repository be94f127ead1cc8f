"""What several types say in the same words."""

UNMEASURED = (
    "Those of these experiments whose size nobody knows: they add nothing to the sizes, which are "
    "those of all others."
)
