"""The twin of src/out.rs: a destination that hands readings to a tool of the test."""

import does
from sedge_sdk import Destination, run


class Out(Destination):
    def deliver(self, readings):
        answer = self.node.call("shelf_put", {"readings": [[one.sensor, one.seq] for one in readings]})
        does.act(answer["do"])


run(Out)
