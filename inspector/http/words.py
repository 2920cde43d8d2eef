"""How a page names the codes of states, causes and reasons: English here, other languages in the catalogues."""

from __future__ import annotations

from inspector.pages.language import N_

STATE_NAME = {
    "ok": N_("INSPECTING"),
    "degraded": N_("DEGRADED"),
    "blind": N_("BLIND"),
    "idle": N_("IDLE"),
    "starting": N_("STARTING"),
    "paused": N_("PAUSED"),
}
STATE_TEXT = {
    "ok": N_("Frames are being inspected. What was found is below."),
    "degraded": N_("Frames are being inspected, but something needs attention."),
    "blind": N_("The surface is NOT being inspected."),
    "idle": N_("There is nothing to inspect at present."),
    "starting": N_("Inspection has not begun yet."),
    "paused": N_("Inspection is paused."),
}
REASON_TEXT = {
    "store": N_("store"),
    "unjudged": N_("not judged"),
    "source_down": N_("source down"),
    "frozen": N_("frozen"),
    "no_frames": N_("no frames"),
    "outbox_filling": N_("outbox filling"),
    "broker": N_("broker"),
    "jsonl": N_("message files"),
    "untaught": N_("untaught"),
    "no_recipe": N_("no recipe fits the coil"),
    "insensitive": N_("does not find the known defects it is shown"),
    "off_domain": N_("off domain"),
    "falling_behind": N_("falling behind"),
    "file_open": N_("file open"),
    "ended": N_("ended"),
    "line_stands": N_("line stands"),
    "paused": N_("paused"),
    "unreadable": N_("unreadable"),
    "unsupported": N_("unsupported"),
    "too_large": N_("too large"),
    "partial": N_("partial"),
    "blank": N_("blank"),
    "overexposed": N_("overexposed"),
    "underexposed": N_("underexposed"),
    "deadly": N_("deadly"),
}
"""The first word of a reason of health. What follows it is shown as it is published, so that it can be searched for."""
CAUSE_TEXT = {
    "dropped": N_("dropped: too fast for this machine"),
    "unreadable": N_("unreadable"),
    "unsupported": N_("no still picture of a known type, or outside tiling.roi_xy"),
    "too_large": N_("too large"),
    "partial": N_("arrived in part only"),
    "blank": N_("blank: light off or lens covered"),
    "overexposed": N_("overexposed"),
    "underexposed": N_("underexposed"),
    "frozen": N_("the camera repeats one picture"),
    "source_down": N_("source down"),
    "deadly": N_("set aside: reading it ends the program"),
    "paused": N_("paused"),
    "process_down": N_("inspector was not running"),
}
STRIP_TEXT = {"inspected": N_("strip, inspected"), "missed": N_("strip, missed")}
SEVERITY_TEXT = {"critical": N_("critical"), "major": N_("major"), "minor": N_("minor")}
PHASE_TEXT = {"opened": N_("opened"), "updated": N_("updated"), "closed": N_("closed")}
VERDICT_TEXT = {
    "clean": N_("tiles clean"),
    "overruled": N_("tiles overruled by the reference"),
    "unclassified": N_("tiles unclassified"),
    "unknown": N_("tiles unknown"),
}
SUPPRESSED_TEXT = {
    "weld": N_("no alarm: a weld"),
    "head": N_("no alarm: head of a coil"),
    "tail": N_("no alarm: tail of a coil"),
    "mode": N_("no alarm: observing only"),
    "severity": N_("no alarm: below severity"),
    "n_of_m": N_("no alarm: too few frames"),
    "periodic": N_("no alarm: a mark that returns"),
    "shelved": N_("no alarm: shelved"),
    "limit": N_("no alarm: limiter"),
}
NO_ALARM_TEXT = {
    "weld": N_("No alarm: it lies at a weld."),
    "head": N_("No alarm: it lies in the head of its coil, which is not graded."),
    "tail": N_("No alarm: it lies in the tail of its coil, which is not graded."),
    "mode": N_("No alarm: this station only observes."),
    "severity": N_("No alarm: %(severity)s is below the least severity that alarms."),
    "n_of_m": N_("No alarm: seen in %(hits)s of the last %(window)s frames, more are needed."),
    "periodic": N_("No alarm: it returns at a fixed distance, and that was alarmed."),
    "shelved": N_("No alarm: somebody has shelved it for a while."),
    "limit": N_("No alarm: there were already as many alarms for %(label)s as may leave at once."),
}
LOST_TEXT = {
    "outbox_full": N_("lost, outbox full"),
    "rejected": N_("lost, rejected"),
    "damaged": N_("lost, damaged in the store"),
}
REJECTED_TEXT = {
    "login": N_("broker refusals, login"),
    "certificate": N_("broker refusals, certificate"),
    "protocol": N_("broker refusals, protocol"),
    "refused": N_("broker refusals, refused"),
    "unreachable": N_("broker refusals, unreachable"),
    "publish": N_("broker refusals, publish"),
}
FACT_TEXT = {
    "station": N_("station"),
    "source": N_("source"),
    "bundle": N_("bundle"),
    "golden tiles": N_("golden tiles"),
    "reference": N_("reference"),
    "proven so far": N_("proven so far"),
    "config": N_("config"),
    "version": N_("version"),
    "started": N_("started"),
    "topics": N_("topics"),
}
PER_FRAME = N_("%(milliseconds)s ms a frame")
PER_COMMIT = N_("%(milliseconds)s ms each")
