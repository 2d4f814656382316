"""The twin of src/step.rs: what a processor and a validator make of a level."""

import does
from sedge_sdk import PASS, replace, veto


def step(settings, draft):
    level = draft["fields"].get("level")
    if level is None:
        return PASS
    if settings.get("fails") == level:
        raise ValueError("it knows nothing of this level")
    if settings.get("panics") == level:
        does.act("panics")
    if "most" in settings and level > settings["most"]:
        return veto(f"{level} is too much")
    marks = dict(draft.get("q") or {})
    if settings.get("stuck") == level:
        marks["level"] = "stuck"
    fields = {**draft["fields"], "level": level + settings.get("add", 0.0)}
    return replace({**draft, "fields": fields, "q": marks})
