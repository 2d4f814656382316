#!/usr/bin/env python3
"""Asks a running Prometheus what the files of this folder and the dashboard ask, and demands data.

    ask.py rules URL                  each alert's expression; URL as in http://127.0.0.1:9090
    ask.py dashboard URL FILE         each query of a Grafana dashboard, for every value that its variables can have

A query that finds nothing is a failure, unless the scene cannot have it and `NOT_HERE` says why. Prints `ok` or `FAILED`
for each and ends with 1 where one failed. It is no Grafana: it puts in variables and nothing more."""

import json
import re
import sys
import urllib.parse
import urllib.request

# What a machine that is no Raspberry Pi, and a node that fares well, do not have.
NOT_HERE = {
    'sensor="system-supply"': "only a Raspberry Pi says how its supply is",
    'sensor=~"system-temp': "a virtual machine has no thermometer",
    "sedge_reading_quality": "no reading of the scene is suspect",
    'state="degraded"': "nothing in the scene is degraded",
    'state=~"degraded': "nothing in the scene is degraded",
    'state=~"discovered|disabled|stopped"': "nothing in the scene is switched off",
}
SELECTOR = re.compile(r"(?:\b(?:sedge_\w+|up)\b(?:\{[^}]*\})?|\{__name__[^}]*\})")


def ask(url, path, **parameters):
    query = urllib.parse.urlencode(parameters)
    try:
        with urllib.request.urlopen(f"{url}/api/v1/{path}?{query}", timeout=20) as answer:
            return json.load(answer)["data"]
    except urllib.error.HTTPError as error:
        raise ValueError(json.load(error)["error"]) from None


def excuse(text):
    return next((why for part, why in NOT_HERE.items() if part in text), None)


def rules(url):
    """Each selector of each alert has series, and the expression as a whole evaluates."""
    (group,) = ask(url, "rules")["groups"]
    for rule in group["rules"]:
        yield rule["name"], lambda rule=rule: rule_holds(url, rule)


def rule_holds(url, rule):
    if rule["health"] != "ok":
        raise ValueError(f"{rule['health']}: {rule.get('lastError')}")
    firing = ask(url, "query", query=rule["query"])["result"]
    said = []
    for selector in SELECTOR.findall(rule["query"]):
        # In a list of labels: not a selector.
        series = len(ask(url, "query", query=f"last_over_time({selector}[5m])")["result"])
        if not series and not excuse(selector):
            raise ValueError(f"no series for {selector}")
        said.append(f"{selector}: {series}" if series else f"{selector}: none ({excuse(selector)})")
    names = sorted({one["metric"].get("node", "?") for one in firing})
    return f"true for {', '.join(names) if names else 'none'}; " + "; ".join(said)


def panels(dashboard):
    for panel in dashboard["panels"]:
        yield panel
        yield from panel.get("panels", [])


def put_in(text, values):
    for name, value in values.items():
        text = re.sub(rf"\$\{{{name}(?::\w+)?\}}|\${name}\b", lambda _: value, text)
    if found := re.search(r"\$\{?\w+", text):
        raise ValueError(f"a variable that is none: {found.group()}")
    return text


def variables(url, dashboard):
    """What Grafana would put in where `All` is chosen: every value that the variable's query finds."""
    values = {"__rate_interval": "1m", "__range": "5m", "__interval": "15s"}
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "datasource":
            continue
        query = variable["query"] if isinstance(variable["query"], str) else variable["query"]["query"]
        metric, label = re.fullmatch(r"label_values\((.+),\s*(\w+)\)", query).groups()
        found = ask(url, "series", **{"match[]": put_in(metric, values)})
        there = sorted({series[label] for series in found if label in series})
        if not there:
            raise ValueError(f"the variable {variable['name']} has no values: {query}")
        values[variable["name"]] = "|".join(there)
    return values


def dashboard(url, file):
    with open(file) as text:
        board = json.load(text)
    values = variables(url, board)
    yield "variables", lambda: ", ".join(f"{name} = {value}" for name, value in values.items() if name[0] != "_")
    for panel in panels(board):
        # A panel that is repeated for a variable is there once for each of its values.
        each = panel.get("repeat")
        for value in values[each].split("|") if each else [None]:
            here = {**values, each: value} if each else values
            for target in panel.get("targets", []):
                query = put_in(target["expr"], here)
                yield f"{put_in(panel['title'], here)} ({target['refId']})", lambda query=query: query_holds(url, query)


def query_holds(url, query):
    result = ask(url, "query", query=query)["result"]
    if result:
        return f"{len(result)} series"
    if why := excuse(query):
        return f"none, as expected: {why}"
    raise ValueError(f"no data: {query}")


def main(kind, *arguments):
    count, failed = 0, 0
    for name, check in {"rules": rules, "dashboard": dashboard}[kind](*arguments):
        count += 1
        try:
            print(f"ok      {name}: {check()}")
        except (ValueError, OSError) as error:
            failed += 1
            print(f"FAILED  {name}: {error}")
    print(f"{'FAILED' if failed or not count else 'ok'}  {count - failed} of {count} {kind}")
    return failed > 0 or count == 0


if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] not in ("rules", "dashboard"):
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
