import unittest

from sedge_sdk.testing import FakeNode

from main import {{type}}


class A{{type}}(unittest.TestCase):
    def test_rolls_what_the_die_has(self) -> None:
        with FakeNode({{type}}) as node:
            self.assertIn(node.call("{{snake}}_roll"), range(1, 7))
            self.assertEqual(node.call("{{snake}}_roll", sides=1), 1)


if __name__ == "__main__":
    unittest.main()
