from sedge_sdk import Processor, run
from step import step


class Changes(Processor):
    def process(self, draft):
        return step(self.settings, draft)


run(Changes)
