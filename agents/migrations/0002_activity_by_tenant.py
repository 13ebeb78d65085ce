from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('agents', '0001_initial'),
        ('tenants', '0001_initial'),
    ]

    operations = [
        migrations.AddIndex(
            model_name='agentactivity',
            index=models.Index(fields=['tenant', 'expires_at'], name='activity_tenant_expiry'),
        ),
    ]
