"""Takes a constant from a field."""

from sedge_sdk import PASS, Processor, replace, run


class {{type}}(Processor):
    def process(self, draft):
        field = self.settings["field"]
        value = draft["fields"].get(field)
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            return PASS
        fields = {**draft["fields"], field: value - self.settings["offset"]}
        return replace({**draft, "fields": fields})


run({{type}})
