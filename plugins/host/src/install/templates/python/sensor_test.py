import unittest
from unittest.mock import patch

from sedge_sdk.testing import FakeNode

from main import {{type}}


class A{{type}}(unittest.TestCase):
    def test_measures_the_load_of_the_minutes_that_are_set(self) -> None:
        with patch("os.getloadavg", return_value=(0.5, 1.5, 2.5)):
            with FakeNode({{type}}) as node:
                self.assertEqual(node.read(), {"load": 0.5})
            with FakeNode({{type}}, settings={"minutes": 15}) as node:
                self.assertEqual(node.read(), {"load": 2.5})

    def test_says_why_there_is_no_value(self) -> None:
        with patch("os.getloadavg", side_effect=OSError), FakeNode({{type}}) as node:
            self.assertEqual(node.read(), {"load": {"missing": "unavailable"}})


if __name__ == "__main__":
    unittest.main()
