"""WeCom in a box (沙箱): a pretend platform on the wire, its people, its ledger.

Steps of this folder, lower ones first: config, refusal, schema, store, fields | town | callbacks,
knobs | the nouns (members, contacts, corp_tags, contact_ways, welcome, app_messages, cards, media,
kf, login) | actors, kf_actors, till | calls, pipeline, postman | world_api, server, serving.
"""
