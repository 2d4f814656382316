import unittest

from sedge_sdk import PASS, replace
from sedge_sdk.testing import FakeNode

from main import {{type}}


class A{{type}}(unittest.TestCase):
    def test_changes_its_field_and_no_other(self) -> None:
        draft = {"sensor": "tank", "fields": {"level": 5.0, "temperature": 20.0}, "ts": None, "up_ms": 0}
        with FakeNode({{type}}, settings={"field": "level", "offset": 2.0}) as node:
            step = node.step("process", draft)
            changed = {**draft, "fields": {"level": 3.0, "temperature": 20.0}}
            self.assertEqual(step, replace(changed))

    def test_lets_what_is_missing_pass(self) -> None:
        draft = {"sensor": "tank", "fields": {"level": None}, "err": {"level": "crc"}, "ts": None, "up_ms": 0}
        with FakeNode({{type}}, settings={"field": "level", "offset": 2.0}) as node:
            self.assertEqual(node.step("process", draft), PASS)


if __name__ == "__main__":
    unittest.main()
