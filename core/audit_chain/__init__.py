"""The audit chain: evidence that audit entries were neither edited, removed, reordered nor inserted afterwards.

    entry ── signature: an HMAC of its columns, written with it
    entries ── block: their ids and digests, and the hash of the block before; signed, and added after their commit
    last block ── checkpoint: its number and hash, kept elsewhere

| module | purpose |
|---|---|
| `signing` | signatures, under keys that are not in the database |
| `entries` | the canonical form of an entry, and its digest |
| `statements` | entries that prove what was rightly done to the log |
| `ids` | ranges of ids |
| `blocks` | the canonical form of a block, and its hash |
| `chainer` | adds committed entries to the chain |
| `verification` | reads the whole chain, and names what is wrong |
| `findings` | what a verification finds |
| `checkpoints` | the end of the chain, to be kept elsewhere |
| `retention` | deletes blocks from the beginning, and leaves a statement |

The reasons are in docs/decisions/0039-audit-chain.md.
"""
