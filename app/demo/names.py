"""Names of people, departments and projects at Northwind Robotics."""

from dataclasses import dataclass

DEMO_ADMIN = "ada.admin"
"""The first user: an admin who never leaves."""
ADMINS = (DEMO_ADMIN, "noor.admin")
EMAIL_DOMAIN = "northwind.example"

DEPARTMENTS: dict[str, tuple[str, ...]] = {
    "vision": (
        "lane-detection",
        "pallet counting",
        "depth-from-stereo",
        "Night images",
        "segmentation-baseline",
        "camera calibration 2",
    ),
    "speech": (
        "wake-word",
        "Rufzeichen für die Fahrerkabine",
        "asr-warehouse-noise",
        "speaker-id",
        "tts-voices",
        "音声認識-ja",
    ),
    "planning": (
        "route-optimizer",
        "Fleet rebalancing",
        "multi-agent-rl",
        "docking manoeuvres",
        "A* vs learned heuristics",
        "shift-planning",
    ),
    "fraud-detection": (
        "checkout-gnn",
        "Chargebacks Q3",
        "account-takeover",
        "velocity-features",
        "rules vs model",
        "invoice anomalies",
    ),
    "recommendations": (
        "two-tower",
        "cold-start",
        "basket-completion",
        "Homepage ranking",
        "spare-parts-matching",
        "bandits",
    ),
    "forecasting": (
        "demand-weekly",
        "Energy load",
        "holiday-effects",
        "prévisions de stock",
        "hierarchical-ts",
        "battery-life",
    ),
    "robotics-control": (
        "grasping-sim2real",
        "gripper v3",
        "balance-controller",
        "imitation-learning",
        "Torque limits",
        "arm-kinematics",
    ),
    "language": (
        "contract-extraction",
        "support-summaries",
        "Ticket routing",
        "llm-finetune",
        "retrieval-eval",
        "translation-manuals",
    ),
    "predictive-maintenance": (
        "bearing-vibration",
        "motor-temperature",
        "Remaining useful life",
        "sensor-drift",
        "Prüfstand Dresden",
        "fleet-failures",
    ),
    "search-relevance": (
        "query-rewriting",
        "semantic-search",
        "Learning to rank",
        "synonyms",
        "click-models",
        "typo-tolerance",
    ),
    "simulation": (
        "domain-randomization",
        "warehouse-twin",
        "Physics surrogate",
        "pedestrians",
        "rendering-gap",
        "scenario-mining",
    ),
    "quality-inspection": (
        "weld-seams",
        "surface-scratches",
        "X-ray castings",
        "label-ocr",
        "Détection d'anomalies",
        "few-shot-defects",
    ),
    "pricing": (
        "elasticity",
        "Dynamic fees",
        "competitor-prices",
        "discount-uplift",
        "renewals",
        "margin-guardrails",
    ),
    "research": (
        "diffusion-policies",
        "world-models",
        "Reading group reproductions",
        "scaling-laws",
        "uncertainty",
        "neurips-submission",
    ),
    "supply-chain": (
        "supplier-risk",
        "lead-times",
        "Container ETA",
        "inventory-rl",
        "customs-codes",
        "reorder-points",
    ),
    "mapping": (
        "slam-benchmark",
        "floor-plans",
        "Loop closure",
        "lidar-odometry",
        "map-diffs",
        "semantic-maps",
    ),
    "marketing-science": (
        "attribution",
        "churn-model",
        "Uplift tests",
        "customer-lifetime-value",
        "lookalikes",
        "media-mix",
    ),
    "safety": (
        "human-proximity",
        "Emergency stop",
        "near-misses",
        "out-of-distribution",
        "red-team",
        "incident-clustering",
    ),
    "edge-devices": (
        "quantization-int8",
        "jetson-latency",
        "Distillation",
        "wake-on-motion",
        "on-device-asr",
        "pruning",
    ),
    "customer-support": (
        "intent-classifier",
        "sentiment",
        "Answer suggestions",
        "call-summaries",
        "escalation-risk",
        "faq-bot",
    ),
}
_WORKSPACES = tuple(DEPARTMENTS)

_GIVEN = (
    *("amara", "jonas", "mei", "diego", "fatima", "oliver", "priya", "sofia", "kenji", "lena"),
    *("tariq", "emma", "ravi", "chloe", "mateo", "ingrid", "yusuf", "hana", "lucas", "nadia"),
    *("pavel", "grace", "omar", "zoë", "minh", "clara", "kwame", "elif", "hugo", "ananya"),
    *("søren", "leila", "arjun", "maria", "tom", "aiko", "samuel", "irina", "david", "wanjiru"),
    *(
        "felix",
        "noa",
        "rashid",
        "julia",
        "andrei",
        "isabel",
        "sean",
        "thandi",
        "viktor",
        "camille",
    ),
    *("hiro", "laura", "bashir", "eva", "marcus", "yara"),
)
_FAMILY = (
    *("okafor", "lindqvist", "chen", "morales", "haddad", "smith", "raman", "rossi", "tanaka"),
    *("weber", "aziz", "johansson", "iyer", "dubois", "garcia", "berg", "demir", "kim", "silva"),
    *("petrov", "novak", "obrien", "farouk", "jansen", "nguyen", "hoffmann", "mensah", "kaya"),
    *("martin", "gupta", "holm", "rahimi", "mehta", "costa", "baker", "sato", "levi", "popescu"),
    *("cohen", "kamau", "fischer", "katz", "khan", "kowalski", "ionescu", "fernandez", "murphy"),
    *(
        "dlamini",
        "sokolov",
        "laurent",
        "yamamoto",
        "bianchi",
        "osman",
        "horvath",
        "wright",
        "łaski",
    ),
    *("van-dijk", "müller", "park", "moreau", "singh", "nowak", "andersen"),
)
_SERVICE_ACCOUNTS = (
    "svc-nightly-train",
    "svc-ci-evaluation",
    "svc-sweeps",
    "svc-feature-sync",
    "svc-model-registry",
    "svc-label-import",
)
# An email address keeps to ASCII, as most mail systems do.
_ASCII = str.maketrans({"ë": "e", "ø": "oe", "ł": "l", "ü": "ue"})
# Coprime to the number of name pairs, so steps of it visit every pair before repeating one.
_STEP = 1597


@dataclass(frozen=True, slots=True)
class AccountName:
    """The username and email address of an account."""

    username: str
    email: str


def person_name(number: int, rotation: int) -> AccountName:
    """Return a unique name for each number; `rotation` chooses which name comes first."""
    lap, place = divmod(number, len(_GIVEN) * len(_FAMILY))
    pair = (place * _STEP + rotation) % (len(_GIVEN) * len(_FAMILY))
    given, family = _GIVEN[pair % len(_GIVEN)], _FAMILY[pair // len(_GIVEN)]
    namesake = str(lap + 1) if lap else ""
    email = f"{given}.{family}{namesake}".translate(_ASCII)
    return AccountName(_username(given, family, pair, namesake), f"{email}@{EMAIL_DOMAIN}")


def _username(given: str, family: str, pair: int, namesake: str) -> str:
    """Return a username; most are `given.family`, some follow other conventions."""
    if pair % 13 == 0:
        return f"{given}-{family}{namesake}"
    if pair % 17 == 0:
        return f"{given[0]}{family}{pair}{'-' * bool(namesake)}{namesake}"
    return f"{given}.{family}{namesake}"


def admin_name(number: int) -> AccountName:
    """Return the name of an admin; 0 is `DEMO_ADMIN`."""
    return AccountName(ADMINS[number], f"{ADMINS[number]}@{EMAIL_DOMAIN}")


def service_account_name(number: int) -> AccountName:
    """Return the name of a service account."""
    lap, place = divmod(number, len(_SERVICE_ACCOUNTS))
    username = _SERVICE_ACCOUNTS[place] + (f"-{lap + 1:03}" if lap else "")
    return AccountName(username, f"{username}@{EMAIL_DOMAIN}")


def change_email_domain(email: str) -> str:
    """Return the email address after its owner moved to the labs, a sister company."""
    return email.replace(f"@{EMAIL_DOMAIN}", f"@labs.{EMAIL_DOMAIN}")


def workspace_name(number: int) -> str:
    """Return a department's name; large organizations number them, such as `vision-017`."""
    lap, place = divmod(number, len(_WORKSPACES))
    return _WORKSPACES[place] + (f"-{lap:03}" if lap else "")


def project_name(workspace_number: int, number: int) -> str:
    """Return a realistic project name that is unique in its workspace."""
    department = DEPARTMENTS[_WORKSPACES[workspace_number % len(_WORKSPACES)]]
    lap, place = divmod(number, len(department))
    return department[place] + (f"-v{lap + 1}" if lap else "")
