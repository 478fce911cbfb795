#!/usr/bin/env python3
"""The rights of a principal, as a client that is not Afterbay's sees them: one a line, sorted.

    WRITE TOPIC LITERAL orders
"""

import argparse

from confluent_kafka.admin import (
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--principal", required=True)
    parser.add_argument("--config", action="append", default=[], metavar="NAME=VALUE", help="a setting of the client")
    options = parser.parse_args()
    settings = {"bootstrap.servers": options.bootstrap}
    settings.update(setting.split("=", 1) for setting in options.config)
    everything = AclBindingFilter(
        ResourceType.ANY,
        None,
        ResourcePatternType.ANY,
        options.principal,
        None,
        AclOperation.ANY,
        AclPermissionType.ALLOW,
    )
    client = AdminClient(settings)
    found = client.describe_acls(everything, request_timeout=20).result()
    lines = {f"{acl.operation.name} {acl.restype.name} {acl.resource_pattern_type.name} {acl.name}" for acl in found}
    print("\n".join(sorted(lines)))


if __name__ == "__main__":
    main()
