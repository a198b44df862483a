# SPDX-License-Identifier: Apache-2.0
# Superset on the loopback, for one person: everything it keeps is in the folder POLKU_SUPERSET. Not a server for a company:
# see Superset's own documentation for that.
import os

HOME = os.environ['POLKU_SUPERSET']
with open(os.path.join(HOME, 'secret'), encoding='ascii') as file:
    SECRET_KEY = file.read().strip()
SQLALCHEMY_DATABASE_URI = 'sqlite:///' + os.path.join(HOME, 'superset.db')
RATELIMIT_ENABLED = False
TALISMAN_ENABLED = False        # it asks for https, and there is none on the loopback
SESSION_COOKIE_SAMESITE = 'Lax'
SQLLAB_BACKEND_PERSISTENCE = False
THUMBNAILS_ENABLED = False
