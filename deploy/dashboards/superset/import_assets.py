# SPDX-License-Identifier: Apache-2.0
"""import_assets.py ZIP - imports what `make --zip ZIP --assets` wrote, over what is there (Superset's command import-dashboards and its
page leave charts and datasets that exist as they are). Runs in Superset's environment; `run` calls it."""
import sys
import zipfile

from superset.app import create_app

app = create_app()
with app.app_context():
    from superset import security_manager
    from superset.commands.importers.v1.assets import ImportAssetsCommand
    from superset.commands.importers.v1.utils import get_contents_from_bundle
    from superset.utils.core import override_user

    with zipfile.ZipFile(sys.argv[1]) as bundle:
        contents = get_contents_from_bundle(bundle)
    with override_user(security_manager.find_user('admin')):
        ImportAssetsCommand(contents).run()
