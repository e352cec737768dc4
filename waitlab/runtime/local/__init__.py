"""The local runtime: the lab's parts as processes of this machine (Linux), under one supervisor."""
