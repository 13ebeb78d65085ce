"""The sender of an invitation, and whether its link confirms the address, for invitations into tenants.

Back: these invitations end, because the version before would take them for an operator's.
"""

from typing import Any

import core.fields
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


def end_invitations(apps: Any, schema_editor: Any) -> None:
    apps.get_model("accounts", "Invitation").objects.exclude(inviter=None).delete()


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0011_personal_token'),
    ]

    operations = [
        migrations.AddField(
            model_name='invitation',
            name='confirms_email',
            field=models.BooleanField(db_default=True, default=True, editable=False),
        ),
        migrations.AddField(
            model_name='invitation',
            name='inviter',
            field=models.ForeignKey(editable=False, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='sent_invitations', to=settings.AUTH_USER_MODEL, verbose_name='invited by'),
        ),
        migrations.AlterField(
            model_name='queuedmail',
            name='kind',
            field=core.fields.ExactCharField(choices=[('reset', 'link to set a new password'), ('verify', 'link to confirm an address'), ('invitation', 'link to register'), ('password_changed', 'notice of a changed password'), ('email_changed', 'notice of a changed e-mail address'), ('new_sign_in', 'notice of a sign-in from a new address'), ('factors_changed', 'notice of changed second factors'), ('identity_added', 'notice of a new way to sign in'), ('identity_removed', 'notice of a removed way to sign in'), ('account_closed', 'notice of a closed account'), ('tenant_invitation', 'link to join a tenant'), ('role_changed', 'notice of a role in a tenant'), ('member_removed', 'notice of a removed member'), ('tenant_offered', 'notice of an offered tenant'), ('owner_changed', "notice of a tenant's new owner"), ('factor_required', 'notice of a required second factor')], max_length=20, verbose_name='kind'),
        ),
        migrations.RunPython(migrations.RunPython.noop, end_invitations),
    ]
