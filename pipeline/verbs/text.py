"""clipmill text: a recipe's DAG as YAML, or the JSON schema of such texts."""

import json
from argparse import Namespace
from typing import Any

from pipeline.asking import add_words, asked


def add_verbs(verbs: Any) -> None:
    parser = verbs.add_parser("text", help="print a recipe's DAG as YAML")
    add_words(parser, store=False)
    parser.add_argument("--schema", action="store_true", help="print the JSON schema of such texts instead")
    parser.set_defaults(act=text)


def text(args: Namespace) -> None:
    from pipeline.text import json_schema, to_yaml

    dag = asked(args, store=False).dag()
    print(json.dumps(json_schema(), indent=1) if args.schema else to_yaml(dag), end="")
