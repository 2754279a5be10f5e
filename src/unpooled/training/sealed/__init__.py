"""Sealed hops: a model that hops to another site is encrypted for that site, and the coordinator relays what it cannot
read.

Kamp, Fischer and Vreeken, "Federated Learning from Small Datasets", ICLR 2023, let models hop through the coordinator,
who sees every one of them; here it sees those that are averaged in the clear, and with `secure_sum` none at all.

`exchange` announces who receives whose model, which is known before the models are; `questions` is what a site answers,
`executor` what it seals and opens with (`unpooled.sites.sealing`), and refuses.
"""
