"""Two more roles, offers of tenants, and one owner a tenant: further ones become admins.

Back: admins become owners again, who may do all that they may now and delete the tenant. Viewers lose their membership,
because the version before knows nobody who may read and not write.
"""

from typing import Any

import core.fields
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.models import F, Q


def make_admins(apps: Any, schema_editor: Any) -> None:
    owners = apps.get_model("tenants", "Membership").objects.filter(role="owner")
    owners.filter(~Q(user_id=F("tenant__owner_id")) | Q(tenant__owner_id=None)).update(role="admin")


def make_owners(apps: Any, schema_editor: Any) -> None:
    memberships = apps.get_model("tenants", "Membership").objects
    memberships.filter(role="admin").update(role="owner")
    memberships.filter(role="viewer").delete()


class Migration(migrations.Migration):

    dependencies = [
        ('tenants', '0006_list_indexes'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterField(
            model_name='membership',
            name='role',
            field=core.fields.ExactCharField(choices=[('owner', 'owner'), ('admin', 'admin'), ('member', 'member'), ('viewer', 'viewer')], max_length=20, verbose_name='role'),
        ),
        migrations.RunPython(make_admins, make_owners),
        migrations.CreateModel(
            name='OwnershipOffer',
            fields=[
                ('tenant', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='ownership_offer', serialize=False, to='tenants.tenant')),
                ('expires_at', models.DateTimeField()),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='ownership_offers', to=settings.AUTH_USER_MODEL)),
            ],
        ),
    ]
