"""The whole job without Prefect, for one territory or many: fetch, read, join, write, verify, publish."""
