"""Which model takes a call, and why: pure functions from a call, a catalog and a state to a ``Plan``."""

from wandb_inference.routing.health import Health, ModelHealth
from wandb_inference.routing.limiter import Limiter
from wandb_inference.routing.need import Need, conversation_of
from wandb_inference.routing.outcome import Fault, fault_of, shortcoming
from wandb_inference.routing.plan import Candidate, Plan, Rejection
from wandb_inference.routing.planning import plan
from wandb_inference.routing.policy import AUTO, Entry, Policy, entries, is_auto, resolve, served
from wandb_inference.routing.service import Service
from wandb_inference.routing.simulate import Outcome, Recorded, read_log, simulate

__all__ = [
    "AUTO",
    "Candidate",
    "Entry",
    "Fault",
    "Health",
    "Limiter",
    "ModelHealth",
    "Need",
    "Outcome",
    "Plan",
    "Policy",
    "Recorded",
    "Rejection",
    "Service",
    "conversation_of",
    "entries",
    "fault_of",
    "is_auto",
    "plan",
    "read_log",
    "resolve",
    "served",
    "shortcoming",
    "simulate",
]
