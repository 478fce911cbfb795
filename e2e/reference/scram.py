#!/usr/bin/env python3
"""Gives a user a password at the brokers (SCRAM-SHA-512), as their administrator does. The password comes by standard input."""

import argparse
import sys

from confluent_kafka.admin import AdminClient, ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion

ITERATIONS = 4096


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--user", required=True)
    parser.add_argument("--config", action="append", default=[], metavar="NAME=VALUE", help="a setting of the client")
    options = parser.parse_args()
    settings = {"bootstrap.servers": options.bootstrap}
    settings.update(setting.split("=", 1) for setting in options.config)
    credential = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, ITERATIONS)
    change = UserScramCredentialUpsertion(options.user, credential, sys.stdin.buffer.read())
    client = AdminClient(settings)  # It has to live until there is an answer.
    changed = client.alter_user_scram_credentials([change], request_timeout=20)
    changed[options.user].result()


if __name__ == "__main__":
    main()
