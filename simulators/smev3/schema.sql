-- State of the simulator. Made on start when absent; a restart forgets nothing.
create schema if not exists sim_smev;

-- Everything that was accepted for sending: requests, broadcasts, responses, statuses made by СМЭВ itself.
create table if not exists sim_smev.message (
    seq                 bigint generated always as identity primary key,
    message_id          text not null unique,
    what                text not null check (what in ('request', 'response', 'status')),
    message_type        text not null,              -- REQUEST | BROADCAST | RESPONSE
    version             text not null,
    sender              text not null,
    recipient           text,                       -- null: a broadcast
    kind                text not null,              -- name of the kind, '' when unknown
    namespace           text not null,
    root                text not null,
    content             text not null,              -- content | rejected | status | async
    details             text not null default '',   -- 'NO_DATA: …' of a refusal, the category of a status
    node                text,
    original_message_id text,
    reference_id        text,
    transaction_code    text,
    reply_to            text not null default '',
    sent_at             timestamptz not null,
    eol                 timestamptz,
    status              text not null,
    validate_at         timestamptz,                -- null: validated (or nothing to validate)
    checks_payload      boolean not null default true,
    scripted            boolean not null default false,
    tag                 text not null default '',   -- free word of whoever sent it through the control API
    data                bytea not null,             -- SenderProvided*Data, as signed
    signature           bytea not null,             -- ds:Signature over it, may be empty
    refs                jsonb not null default '[]',-- uuids of files in the storage
    attachment_bytes    bigint not null default 0
);
create index if not exists message_pending on sim_smev.message (validate_at) where validate_at is not null;
create index if not exists message_original on sim_smev.message (original_message_id);
create index if not exists message_sender on sim_smev.message (sender) where attachment_bytes > 0;

-- One message in one incoming queue of one participant.
create table if not exists sim_smev.entry (
    seq                bigint generated always as identity primary key,
    message_id         text not null references sim_smev.message (message_id) on delete cascade,
    recipient          text not null,
    queue              text not null check (queue in ('request', 'response', 'status')),
    version            text not null,
    types              text[] not null,             -- '{namespace}root' by which a selector finds it
    node               text,
    visible_at         timestamptz not null,        -- infinity until validation has passed
    reserved_until     timestamptz,
    deliveries         integer not null default 0,
    repeats            integer not null default 0,  -- extra deliveries ordered by an armed fault
    first_delivered_at timestamptz,
    last_delivered_at  timestamptz,
    closed_at          timestamptz,
    closed_by          text,                        -- ack | delivery | eol
    accepted           boolean,
    unique (message_id, recipient)
);
create index if not exists entry_open on sim_smev.entry (recipient, queue, version, seq) where closed_at is null;

create table if not exists sim_smev.acknowledgement (
    seq        bigint generated always as identity primary key,
    at         timestamptz not null,
    caller     text not null,
    message_id text not null,
    accepted   boolean,
    found      boolean not null
);
create index if not exists acknowledgement_message on sim_smev.acknowledgement (message_id);

create table if not exists sim_smev.attachment (
    message_id text not null references sim_smev.message (message_id) on delete cascade,
    content_id text not null,
    mime_type  text not null,
    body       bytea not null,
    primary key (message_id, content_id)
);

create table if not exists sim_smev.poll (
    seq    bigint generated always as identity primary key,
    caller text not null,
    queue  text not null,
    at     timestamptz not null
);
create index if not exists poll_queue on sim_smev.poll (caller, queue, seq desc);

create table if not exists sim_smev.fault (
    id          bigint generated always as identity primary key,
    name        text not null,
    operation   text,
    version     text,
    caller      text,
    kind        text,
    remaining   integer,                            -- null: no limit
    probability double precision not null default 1,
    seed        bigint not null default 0,
    draws       integer not null default 0,
    fired       integer not null default 0,
    params      jsonb not null default '{}'
);

create table if not exists sim_smev.state (
    name  text primary key,
    value jsonb not null
);

create table if not exists sim_smev.envelope (
    seq         bigint generated always as identity primary key,
    exchange    uuid not null,                      -- request and answer of one call
    at          timestamptz not null,
    direction   text not null check (direction in ('in', 'out')),
    version     text not null,
    operation   text not null,
    caller      text not null,
    http_status integer,
    multipart   boolean not null,
    injected    text[] not null,                    -- armed faults that touched this call
    body        bytea not null                      -- the SOAP envelope: root part of a multipart message
);
