"""The shared registry: persons, documents, policies, birth and death records."""

from alembic import op

revision = "erz_0001"
down_revision = None

ACT = """
        id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        person_id          bigint,
        office_code        text NOT NULL,
        office_name        text NOT NULL DEFAULT '',
        act_number         text NOT NULL,
        act_date           date NOT NULL,
        version            bigint NOT NULL,
        version_date       date NOT NULL,
        status_code        text NOT NULL,
        annulled           boolean NOT NULL,
        surname            text NOT NULL DEFAULT '',
        given              text NOT NULL DEFAULT '',
        patronymic         text NOT NULL DEFAULT '',
        search_key         text NOT NULL,
        birth_date         date,
        birth_precision    text NOT NULL DEFAULT 'day',
        sex                smallint,
        certificate        text NOT NULL DEFAULT '',
        certificate_date   date,
        note               text NOT NULL DEFAULT '',
        source_message_id  uuid,
        received_at        timestamptz NOT NULL DEFAULT now(),
"""


def upgrade() -> None:
    op.execute("""
    CREATE TABLE erz.person (
        id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        surname            text NOT NULL DEFAULT '',
        given              text NOT NULL DEFAULT '',
        patronymic         text NOT NULL DEFAULT '',
        search_key         text NOT NULL,
        birth_date         date,
        birth_precision    text NOT NULL DEFAULT 'day',
        birth_place        text NOT NULL DEFAULT '',
        sex                smallint,
        snils              text,
        enp                text,
        status             text NOT NULL DEFAULT 'alive',
        death_date         date,
        death_precision    text NOT NULL DEFAULT 'day',
        death_record_id    bigint,
        source_message_id  uuid,
        created_at         timestamptz NOT NULL DEFAULT now(),
        changed_at         timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT person_sex CHECK (sex IN (1, 2)),
        CONSTRAINT person_status CHECK (status IN ('alive', 'dead', 'annulled')),
        CONSTRAINT person_birth_precision CHECK (birth_precision IN ('day', 'month', 'year')),
        CONSTRAINT person_death_precision CHECK (death_precision IN ('day', 'month', 'year')),
        CONSTRAINT person_snils_form CHECK (snils ~ '^[0-9]{11}$'),
        CONSTRAINT person_enp_form CHECK (enp ~ '^[0-9]{16}$')
    );
    CREATE INDEX person_search ON erz.person (search_key, birth_date);
    CREATE UNIQUE INDEX person_snils ON erz.person (snils) WHERE snils IS NOT NULL;
    CREATE UNIQUE INDEX person_enp ON erz.person (enp) WHERE enp IS NOT NULL;
    CREATE INDEX person_death ON erz.person (death_record_id) WHERE death_record_id IS NOT NULL;

    CREATE TABLE erz.document (
        id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        person_id          bigint NOT NULL REFERENCES erz.person (id),
        kind_code          text NOT NULL,
        series             text NOT NULL DEFAULT '',
        number             text NOT NULL DEFAULT '',
        number_key         text NOT NULL,
        issued             date,
        issuer             text NOT NULL DEFAULT '',
        CONSTRAINT document_once UNIQUE (person_id, kind_code, number_key)
    );
    CREATE INDEX document_number ON erz.document (number_key);

    CREATE TABLE erz.policy (
        id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        person_id          bigint NOT NULL REFERENCES erz.person (id),
        enp                text NOT NULL,
        insurer_code       text NOT NULL DEFAULT '',
        starts             date NOT NULL,
        ends               date
    );
    CREATE INDEX policy_person ON erz.policy (person_id);
    CREATE INDEX policy_enp ON erz.policy (enp);
    """)
    op.execute(f"""
    CREATE TABLE erz.birth_record ({ACT}
        alive              boolean NOT NULL,
        made_person        boolean NOT NULL DEFAULT false,
        birth_place        text NOT NULL DEFAULT '',
        mother             text NOT NULL DEFAULT '',
        father             text NOT NULL DEFAULT '',
        CONSTRAINT birth_record_act UNIQUE (office_code, act_number, act_date)
    );
    CREATE INDEX birth_record_person ON erz.birth_record (person_id);

    CREATE TABLE erz.death_record ({ACT}
        document_key       text NOT NULL DEFAULT '',
        death_date         date,
        death_precision    text NOT NULL DEFAULT 'day',
        matched_by         text NOT NULL DEFAULT '',
        CONSTRAINT death_record_act UNIQUE (office_code, act_number, act_date)
    );
    CREATE INDEX death_record_person ON erz.death_record (person_id);
    CREATE INDEX death_record_waiting ON erz.death_record (search_key) WHERE person_id IS NULL;
    """)
