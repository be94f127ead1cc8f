"""MLflow: experiments as projects, runs as experiments, artifact bytes as sizes."""
