"""What ``thumbstream audit`` does: prints the audit log."""

import json
from typing import Any

from thumbstream.client.access import Access
from thumbstream.client.client import Client
from thumbstream.commands.keys import print_table, run_with_client


def run_audit(access: Access, subject_id: str | None, *, limit: int, as_json: bool) -> int:
    """Print the newest entries, newest first."""

    async def work(client: Client) -> int:
        entries, _ = await client.list_audit(subject_id=subject_id, limit=limit, cursor=None)
        if as_json:
            for entry in entries:
                print(json.dumps(entry))
        else:
            shown: list[dict[str, Any]] = [{**each, "by": each["key_name"]} for each in entries]
            print_table(shown, ("created_at", "by", "action", "workspace_id", "subject_id"), if_none={})
        return 0

    return run_with_client(access, work)
