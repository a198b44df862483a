-- SPDX-License-Identifier: Apache-2.0
-- Roles and rights. polku-consumer migrate applies this file after the migrations, every time; it may be run again.
--
--   polku_owner   owns schemas, tables, functions
--   polku_writer  what the consumer needs: GRANT polku_writer TO the consumer's user
--   polku_reader  schema bi only (views read with their owner's rights): GRANT polku_reader TO the users of BI tools
--
-- Nobody logs in as one of them. Where the user of migrate may not create roles, an administrator does it once
-- (CREATE ROLE polku_owner; CREATE ROLE polku_writer; CREATE ROLE polku_reader) and migrate is run again.

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['polku_owner', 'polku_writer', 'polku_reader'] LOOP
        CONTINUE WHEN EXISTS (SELECT FROM pg_roles WHERE rolname = name);
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', name);
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN
                NULL; -- migrate of another database of this cluster was faster
            WHEN insufficient_privilege THEN
                RAISE WARNING 'role % is missing and % may not create it: its rights are not granted; let an administrator run CREATE ROLE %, then migrate again', name, current_user, name;
        END;
    END LOOP;
END $$;

-- Everything belongs to polku_owner, if this user can give it away.
DO $$
DECLARE
    item record;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'polku_owner') OR NOT pg_has_role(current_user, 'polku_owner', 'MEMBER') THEN
        RAISE NOTICE 'schemas polku and bi stay with %, who is not a member of polku_owner', current_user;
        RETURN;
    END IF;
    FOR item IN
        SELECT format('ALTER SCHEMA %I OWNER TO polku_owner', n.nspname) AS command, 0 AS step
        FROM pg_namespace n
        WHERE n.nspname IN ('polku', 'bi') AND n.nspowner <> 'polku_owner'::regrole
        UNION ALL
        SELECT format('ALTER %s %I.%I OWNER TO polku_owner',
                      CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, n.nspname, c.relname), 1
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname IN ('polku', 'bi') AND c.relkind IN ('r', 'p', 'v', 'S') AND c.relowner <> 'polku_owner'::regrole
          AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                          AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i') AND c.relkind = 'S')
        UNION ALL
        SELECT format('ALTER TYPE %I.%I OWNER TO polku_owner', n.nspname, t.typname), 1
        FROM pg_type t JOIN pg_class c ON c.oid = t.typrelid JOIN pg_namespace n ON n.oid = t.typnamespace
        WHERE n.nspname IN ('polku', 'bi') AND c.relkind = 'c' AND t.typowner <> 'polku_owner'::regrole
        UNION ALL
        SELECT format('ALTER FUNCTION %s OWNER TO polku_owner', p.oid::regprocedure), 1
        FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE n.nspname IN ('polku', 'bi') AND p.proowner <> 'polku_owner'::regrole
        ORDER BY 2
    LOOP
        EXECUTE item.command;
    END LOOP;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE WARNING '% cannot give schemas polku and bi to polku_owner (%); they stay with their owners', current_user, SQLERRM;
END $$;

-- A function that a view calls is checked against who reads the view: readers may call those of bi, and polku.as_of.
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA polku, bi FROM PUBLIC;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'polku_writer') THEN
        GRANT USAGE ON SCHEMA polku, bi TO polku_writer;
        GRANT SELECT ON ALL TABLES IN SCHEMA bi TO polku_writer;
        GRANT SELECT ON polku.schema_migration, polku.former_key TO polku_writer;
        GRANT SELECT, INSERT ON polku.dictionary, polku.rules_state, polku.calendar, polku.calendar_open, polku.kind, polku.definition,
            polku.milestone TO polku_writer;
        GRANT SELECT, INSERT, UPDATE ON polku.stream_position, polku.interaction_hourly, polku.need_hourly, polku.rating_hourly,
            polku.money_hourly, polku.repeat_daily, polku.transition_hourly, polku.duration_hourly, polku.journey_daily,
            polku.obligation_hourly, polku.handoff_hourly, polku.course_daily, polku.milestone_daily, polku.step_daily,
            polku.path_daily, polku.interaction_daily, polku.need_daily, polku.rating_monthly, polku.money_monthly,
            polku.repeat_channel_daily, polku.transition_daily, polku.duration_daily, polku.journey_monthly,
            polku.obligation_daily, polku.handoff_daily TO polku_writer;
        GRANT SELECT, INSERT, UPDATE, DELETE ON polku.quarantine, polku.quarantine_excess TO polku_writer;
        GRANT SELECT, INSERT, UPDATE ON polku.quarantine_size TO polku_writer;
        GRANT SELECT, INSERT ON polku.forgetting, polku.forgotten TO polku_writer;
        GRANT SELECT, INSERT, UPDATE ON polku.retention TO polku_writer;
        GRANT SELECT, INSERT, UPDATE, DELETE ON polku.interaction, polku.journey, polku.obligation, polku.course, polku.customer,
            polku.identifier, polku.sighting, polku.guard_cell, polku.identity_meeting TO polku_writer;
        GRANT SELECT, INSERT, UPDATE, DELETE ON polku.decision TO polku_writer;
        GRANT USAGE ON SEQUENCE polku.guard_cell_id, polku.stream_slot TO polku_writer;
        GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA polku, bi TO polku_writer;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'polku_reader') THEN
        GRANT USAGE ON SCHEMA bi TO polku_reader;
        GRANT SELECT ON ALL TABLES IN SCHEMA bi TO polku_reader;
        GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA bi TO polku_reader;
        GRANT EXECUTE ON FUNCTION polku.as_of() TO polku_reader;
    END IF;
END $$;

-- Compiling a wide view for one row takes seconds: jit is switched off in this database, unless somebody decided on it.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_db_role_setting s CROSS JOIN unnest(s.setconfig) AS c (setting)
                   WHERE s.setrole = 0 AND s.setdatabase = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
                     AND c.setting LIKE 'jit=%') THEN
        EXECUTE format('ALTER DATABASE %I SET jit = off', current_database());
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE NOTICE 'jit stays as it is: % does not own the database; views of schema bi answer faster with jit = off', current_user;
END $$;
