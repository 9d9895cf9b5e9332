"""Tables of the SOP engine, one file a noun; import them from here."""

from sop.models.appointments import Appointment, AppointmentState, Intent
from sop.models.leads import LIVE_LEADS, AssignedBy, Lead, LeadSignal, LeadState
from sop.models.plans import (
    Enrollment,
    EnrollmentState,
    IfMissed,
    Reach,
    Sop,
    SopStep,
    SopVersion,
    VersionState,
)
from sop.models.postings import (
    MassSend,
    MassState,
    Posting,
    PostingGuide,
    PostingGuideState,
    PostingState,
)
from sop.models.work import (
    TRANSITIONS,
    UNFINISHED,
    Carrier,
    CouponIssue,
    Digest,
    HeldBy,
    Task,
    TaskState,
    Touch,
)

__all__ = [
    "LIVE_LEADS",
    "TRANSITIONS",
    "UNFINISHED",
    "Appointment",
    "AppointmentState",
    "AssignedBy",
    "Carrier",
    "CouponIssue",
    "Digest",
    "Enrollment",
    "EnrollmentState",
    "HeldBy",
    "IfMissed",
    "Intent",
    "Lead",
    "LeadSignal",
    "LeadState",
    "MassSend",
    "MassState",
    "Posting",
    "PostingGuide",
    "PostingGuideState",
    "PostingState",
    "Reach",
    "Sop",
    "SopStep",
    "SopVersion",
    "Task",
    "TaskState",
    "Touch",
    "VersionState",
]
