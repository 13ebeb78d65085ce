import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('agents', '0001_initial'),
        ('tenants', '0001_initial'),
    ]

    operations = [
        # Before the field's own index goes, which its constraint needs.
        migrations.AddIndex(
            model_name='agentactivity',
            index=models.Index(fields=['tenant', 'expires_at'], name='activity_tenant_expiry'),
        ),
        migrations.AlterField(
            model_name='agentactivity',
            name='tenant',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tenants.tenant'),
        ),
    ]
