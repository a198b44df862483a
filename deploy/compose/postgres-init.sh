#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Run once by PostgreSQL's image when it makes the database: the users, and nothing for anybody else. `migrate` does the rest.
#   polku_app  the consumer's; polku_bi  reads the views, for dashboards
set -euo pipefail
psql -X -q -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d "$POSTGRES_DB" <<'SQL'
\set app `cat /run/secrets/app_password`
\set bi `cat /run/secrets/bi_password`
SET password_encryption = 'scram-sha-256';
CREATE ROLE polku_owner NOLOGIN;
CREATE ROLE polku_writer NOLOGIN;
CREATE ROLE polku_reader NOLOGIN;
CREATE USER polku_app PASSWORD :'app' IN ROLE polku_writer;
CREATE USER polku_bi PASSWORD :'bi' IN ROLE polku_reader;
REVOKE CONNECT, TEMPORARY ON DATABASE polku FROM PUBLIC;
GRANT CONNECT, TEMPORARY ON DATABASE polku TO polku_writer, polku_reader;
SQL
