"""The tables of the pretend corp. One file, made at the first opening."""

from __future__ import annotations

SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL);
INSERT OR IGNORE INTO meta VALUES ('version', 1);
CREATE TABLE IF NOT EXISTS knob (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS fault (
    id INTEGER PRIMARY KEY, api TEXT NOT NULL, kind TEXT NOT NULL, value REAL NOT NULL,
    times_left INTEGER, probability REAL NOT NULL);

CREATE TABLE IF NOT EXISTS department (
    id INTEGER PRIMARY KEY, code TEXT UNIQUE, name TEXT NOT NULL, parent_id INTEGER NOT NULL,
    sort INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS member (
    userid TEXT PRIMARY KEY COLLATE NOCASE, name TEXT NOT NULL, alias TEXT NOT NULL,
    position TEXT NOT NULL, department_id INTEGER NOT NULL, is_leader INTEGER NOT NULL,
    status INTEGER NOT NULL, is_visible INTEGER NOT NULL, is_verified INTEGER NOT NULL,
    has_contacts INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS member_department ON member (department_id);
CREATE TABLE IF NOT EXISTS customer (
    external_userid TEXT PRIMARY KEY, name TEXT NOT NULL, gender INTEGER NOT NULL,
    unionid TEXT, mobile TEXT, member_no TEXT, avatar TEXT NOT NULL, type INTEGER NOT NULL,
    corp_name TEXT NOT NULL, is_featured INTEGER NOT NULL, created_at REAL NOT NULL
    ) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS customer_name ON customer (name);

CREATE TABLE IF NOT EXISTS relation (
    id INTEGER PRIMARY KEY, userid TEXT NOT NULL COLLATE NOCASE, external_userid TEXT NOT NULL,
    stage TEXT NOT NULL, remark TEXT NOT NULL DEFAULT '', description TEXT NOT NULL DEFAULT '',
    remark_corp_name TEXT NOT NULL DEFAULT '', remark_mobiles TEXT NOT NULL DEFAULT '[]',
    add_way INTEGER NOT NULL, state TEXT NOT NULL, oper_userid TEXT NOT NULL,
    created_at REAL NOT NULL, accept_at REAL, customer_left_at REAL, chat_started_at REAL,
    UNIQUE (userid, external_userid));
CREATE INDEX IF NOT EXISTS relation_customer ON relation (external_userid);
CREATE INDEX IF NOT EXISTS relation_accept ON relation (accept_at) WHERE accept_at IS NOT NULL;
CREATE TABLE IF NOT EXISTS relation_tag (
    relation_id INTEGER NOT NULL, tag_id TEXT NOT NULL, PRIMARY KEY (relation_id, tag_id)
    ) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS relation_tag_tag ON relation_tag (tag_id);
CREATE TABLE IF NOT EXISTS personal_tag (
    relation_id INTEGER NOT NULL, name TEXT NOT NULL, PRIMARY KEY (relation_id, name)
    ) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS chat_message (
    id INTEGER PRIMARY KEY, userid TEXT NOT NULL COLLATE NOCASE, external_userid TEXT NOT NULL,
    sender TEXT NOT NULL, msgtype TEXT NOT NULL, payload TEXT NOT NULL, at REAL NOT NULL);
CREATE INDEX IF NOT EXISTS chat_message_pair ON chat_message (external_userid, userid, id);

CREATE TABLE IF NOT EXISTS tag_group (
    group_id TEXT PRIMARY KEY, name TEXT NOT NULL, sort INTEGER NOT NULL, created_at REAL NOT NULL,
    is_ours INTEGER NOT NULL, is_deleted INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS tag (
    tag_id TEXT PRIMARY KEY, group_id TEXT NOT NULL, name TEXT NOT NULL, sort INTEGER NOT NULL,
    created_at REAL NOT NULL, is_ours INTEGER NOT NULL, is_deleted INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS tag_by_group ON tag (group_id);
CREATE TABLE IF NOT EXISTS contact_way (
    config_id TEXT PRIMARY KEY, created_at REAL NOT NULL, is_temp INTEGER NOT NULL,
    state TEXT NOT NULL, detail TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS contact_way_state ON contact_way (state);
CREATE INDEX IF NOT EXISTS contact_way_at ON contact_way (created_at);

CREATE TABLE IF NOT EXISTS access_token (
    token TEXT PRIMARY KEY, expires_at REAL NOT NULL, is_dead INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS ticket (kind TEXT PRIMARY KEY, ticket TEXT, expires_at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS one_time_code (
    code TEXT PRIMARY KEY, kind TEXT NOT NULL, subject TEXT NOT NULL, created_at REAL NOT NULL,
    used_at REAL);

CREATE TABLE IF NOT EXISTS app_message (
    msgid TEXT PRIMARY KEY, msgtype TEXT NOT NULL, body TEXT NOT NULL, sent_at REAL NOT NULL,
    task_id TEXT UNIQUE, is_recalled INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS app_delivery (
    id INTEGER PRIMARY KEY, msgid TEXT NOT NULL, userid TEXT NOT NULL COLLATE NOCASE,
    sender TEXT NOT NULL, msgtype TEXT NOT NULL, content TEXT NOT NULL, state TEXT NOT NULL,
    replaced TEXT NOT NULL DEFAULT '', at REAL NOT NULL);
CREATE INDEX IF NOT EXISTS app_delivery_user ON app_delivery (userid, id);
CREATE INDEX IF NOT EXISTS app_delivery_message ON app_delivery (msgid);
CREATE TABLE IF NOT EXISTS sent_before (
    digest TEXT PRIMARY KEY, msgid TEXT NOT NULL, at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS media (
    media_id TEXT PRIMARY KEY, kind TEXT NOT NULL, filename TEXT NOT NULL, content_type TEXT,
    data BLOB NOT NULL, created_at REAL NOT NULL);

CREATE TABLE IF NOT EXISTS mass_message (
    msgid TEXT PRIMARY KEY, chat_type TEXT NOT NULL, content TEXT NOT NULL, parts TEXT NOT NULL,
    created_at REAL NOT NULL, is_cancelled INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS mass_message_at ON mass_message (created_at);
CREATE TABLE IF NOT EXISTS mass_sender (
    msgid TEXT NOT NULL, userid TEXT NOT NULL COLLATE NOCASE, sent_at REAL,
    PRIMARY KEY (msgid, userid));
CREATE INDEX IF NOT EXISTS mass_sender_waiting ON mass_sender (userid) WHERE sent_at IS NULL;
CREATE TABLE IF NOT EXISTS mass_receiver (
    msgid TEXT NOT NULL, userid TEXT NOT NULL COLLATE NOCASE, external_userid TEXT NOT NULL,
    status INTEGER NOT NULL, sent_at REAL, PRIMARY KEY (msgid, external_userid));
CREATE INDEX IF NOT EXISTS mass_receiver_sent ON mass_receiver (external_userid, sent_at);
CREATE TABLE IF NOT EXISTS moment (
    moment_id TEXT PRIMARY KEY, jobid TEXT NOT NULL UNIQUE, content TEXT NOT NULL,
    parts TEXT NOT NULL, invalid_users TEXT NOT NULL, created_at REAL NOT NULL);
CREATE INDEX IF NOT EXISTS moment_at ON moment (created_at);
CREATE TABLE IF NOT EXISTS moment_publisher (
    moment_id TEXT NOT NULL, userid TEXT NOT NULL COLLATE NOCASE, published_at REAL,
    PRIMARY KEY (moment_id, userid));
CREATE INDEX IF NOT EXISTS moment_publisher_waiting ON moment_publisher (userid)
    WHERE published_at IS NULL;

CREATE TABLE IF NOT EXISTS kf_account (
    open_kfid TEXT PRIMARY KEY, name TEXT NOT NULL, avatar TEXT NOT NULL,
    is_granted INTEGER NOT NULL, sort INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS kf_servicer (
    open_kfid TEXT NOT NULL, userid TEXT NOT NULL COLLATE NOCASE, status INTEGER NOT NULL,
    PRIMARY KEY (open_kfid, userid));
CREATE TABLE IF NOT EXISTS kf_session (
    open_kfid TEXT NOT NULL, external_userid TEXT NOT NULL, state INTEGER NOT NULL,
    servicer_userid TEXT NOT NULL DEFAULT '', last_customer_at REAL, last_welcome_at REAL,
    active_at REAL NOT NULL, sent_count INTEGER NOT NULL DEFAULT 0,
    scene TEXT NOT NULL DEFAULT '', scene_param TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (open_kfid, external_userid));
CREATE TABLE IF NOT EXISTS kf_message (
    seq INTEGER PRIMARY KEY, msgid TEXT NOT NULL, open_kfid TEXT NOT NULL,
    external_userid TEXT NOT NULL, origin INTEGER NOT NULL, servicer_userid TEXT NOT NULL,
    msgtype TEXT NOT NULL, payload TEXT NOT NULL, at REAL NOT NULL, UNIQUE (open_kfid, msgid));
CREATE INDEX IF NOT EXISTS kf_message_chat ON kf_message (external_userid, open_kfid, seq);
CREATE TABLE IF NOT EXISTS kf_token (
    token TEXT PRIMARY KEY, open_kfid TEXT NOT NULL, created_at REAL NOT NULL);

CREATE TABLE IF NOT EXISTS callback (
    id INTEGER PRIMARY KEY, channel TEXT NOT NULL, kind TEXT NOT NULL, plaintext BLOB NOT NULL,
    agent_id INTEGER, created_at REAL NOT NULL, due_at REAL NOT NULL, state TEXT NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0, claimed_until REAL NOT NULL DEFAULT 0,
    outcome TEXT NOT NULL DEFAULT '', acked_at REAL);
CREATE INDEX IF NOT EXISTS callback_due ON callback (due_at) WHERE state = 'queued';
CREATE TABLE IF NOT EXISTS call_count (
    name TEXT NOT NULL, window_at INTEGER NOT NULL, count INTEGER NOT NULL,
    PRIMARY KEY (name, window_at)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS call_block (name TEXT PRIMARY KEY, until REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS call_log (
    id INTEGER PRIMARY KEY, at REAL NOT NULL, api TEXT NOT NULL, errcode INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS call_log_api ON call_log (api);
CREATE TABLE IF NOT EXISTS sms_message (
    message_id TEXT PRIMARY KEY, id TEXT NOT NULL, mobile TEXT NOT NULL, params TEXT NOT NULL,
    at REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sms_block (mobile TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS customer_mobile ON customer (mobile) WHERE mobile IS NOT NULL;
CREATE TABLE IF NOT EXISTS mp_token (
    token TEXT PRIMARY KEY, expires_at REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS mp_stranger (external_userid TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS effect (
    id INTEGER PRIMARY KEY, at REAL NOT NULL, kind TEXT NOT NULL, who TEXT NOT NULL,
    external_userid TEXT NOT NULL, payload TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS effect_kind ON effect (kind);
CREATE INDEX IF NOT EXISTS effect_notice ON effect (external_userid, id)
    WHERE kind IN ('sms_sent', 'sms_reply', 'template_sent');
CREATE TRIGGER IF NOT EXISTS effect_stays BEFORE UPDATE ON effect
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER IF NOT EXISTS effect_is_kept BEFORE DELETE ON effect
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
"""
