from sedge_sdk import Validator, run
from step import step


class Judges(Validator):
    def validate(self, draft):
        return step(self.settings, draft)


run(Judges)
