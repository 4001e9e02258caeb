"""Outgoing mail: the account's relay, campaigns, automations, deliveries, routed replies, claims of threads

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

from portal.database import UtcDateTime

revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('automation',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('account_id', sa.Uuid(), nullable=False),
    sa.Column('created_at', UtcDateTime(), nullable=False),
    sa.Column('user_id', sa.Uuid(), nullable=False),
    sa.Column('name', sa.String(length=200), nullable=False),
    sa.Column('trigger', sa.String(length=30), nullable=False),
    sa.Column('delay_minutes', sa.Integer(), nullable=False),
    sa.Column('subject', sa.LargeBinary(), nullable=True),
    sa.Column('text', sa.LargeBinary(), nullable=True),
    sa.Column('html', sa.LargeBinary(), nullable=True),
    sa.Column('includes_imported', sa.Boolean(), nullable=False),
    sa.Column('is_on', sa.Boolean(), nullable=False),
    sa.Column('on_since', UtcDateTime(), nullable=True),
    sa.ForeignKeyConstraint(['account_id'], ['account.id'], name=op.f('fk_automation_account_id_account')),
    sa.ForeignKeyConstraint(['user_id'], ['user.id'], name=op.f('fk_automation_user_id_user')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_automation'))
    )
    with op.batch_alter_table('automation', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_automation_account_id'), ['account_id'], unique=False)

    op.create_table('mail_relay',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('created_at', UtcDateTime(), nullable=False),
    sa.Column('account_id', sa.Uuid(), nullable=False),
    sa.Column('host', sa.String(length=253), nullable=False),
    sa.Column('port', sa.Integer(), nullable=False),
    sa.Column('security', sa.String(length=10), nullable=False),
    sa.Column('username', sa.String(length=320), nullable=False),
    sa.Column('password', sa.LargeBinary(), nullable=True),
    sa.Column('from_email', sa.String(length=320), nullable=False),
    sa.Column('from_name', sa.String(length=200), nullable=False),
    sa.Column('is_on', sa.Boolean(), nullable=False),
    sa.Column('tested_at', UtcDateTime(), nullable=True),
    sa.Column('test_error', sa.String(length=300), nullable=False),
    sa.Column('trouble', sa.String(length=300), nullable=False),
    sa.Column('retry_at', UtcDateTime(), nullable=True),
    sa.ForeignKeyConstraint(['account_id'], ['account.id'], name=op.f('fk_mail_relay_account_id_account')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_mail_relay')),
    sa.UniqueConstraint('account_id', name=op.f('uq_mail_relay_account_id'))
    )
    op.create_table('campaign',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('account_id', sa.Uuid(), nullable=False),
    sa.Column('created_at', UtcDateTime(), nullable=False),
    sa.Column('user_id', sa.Uuid(), nullable=False),
    sa.Column('name', sa.String(length=200), nullable=False),
    sa.Column('subject', sa.LargeBinary(), nullable=True),
    sa.Column('text', sa.LargeBinary(), nullable=True),
    sa.Column('html', sa.LargeBinary(), nullable=True),
    sa.Column('sender', sa.String(length=10), nullable=False),
    sa.Column('connection_id', sa.Uuid(), nullable=True),
    sa.Column('audience', sa.JSON(), nullable=False),
    sa.Column('state', sa.String(length=10), nullable=False),
    sa.Column('paused_because', sa.String(length=20), nullable=False),
    sa.Column('total', sa.Integer(), nullable=False),
    sa.Column('started_at', UtcDateTime(), nullable=True),
    sa.Column('finished_at', UtcDateTime(), nullable=True),
    sa.ForeignKeyConstraint(['account_id'], ['account.id'], name=op.f('fk_campaign_account_id_account')),
    sa.ForeignKeyConstraint(['connection_id'], ['connection.id'], name=op.f('fk_campaign_connection_id_connection')),
    sa.ForeignKeyConstraint(['user_id'], ['user.id'], name=op.f('fk_campaign_user_id_user')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_campaign'))
    )
    with op.batch_alter_table('campaign', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_campaign_account_id'), ['account_id'], unique=False)
        batch_op.create_index('ix_campaign_recent', ['account_id', 'created_at'], unique=False)

    op.create_table('delivery',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('account_id', sa.Uuid(), nullable=False),
    sa.Column('created_at', UtcDateTime(), nullable=False),
    sa.Column('campaign_id', sa.Uuid(), nullable=True),
    sa.Column('automation_id', sa.Uuid(), nullable=True),
    sa.Column('contact_id', sa.Uuid(), nullable=False),
    sa.Column('email', sa.String(length=320), nullable=False),
    sa.Column('email_key', sa.String(length=320), nullable=False),
    sa.Column('state', sa.String(length=10), nullable=False),
    sa.Column('cause', sa.String(length=40), nullable=False),
    sa.Column('error', sa.String(length=300), nullable=False),
    sa.Column('token', sa.String(length=40), nullable=False),
    sa.Column('attempts', sa.Integer(), nullable=False),
    sa.Column('next_try_at', UtcDateTime(), nullable=False),
    sa.Column('claimed_by', sa.Uuid(), nullable=True),
    sa.Column('handed_at', UtcDateTime(), nullable=True),
    sa.Column('sent_at', UtcDateTime(), nullable=True),
    sa.ForeignKeyConstraint(['account_id'], ['account.id'], name=op.f('fk_delivery_account_id_account')),
    sa.ForeignKeyConstraint(['automation_id'], ['automation.id'], name=op.f('fk_delivery_automation_id_automation')),
    sa.ForeignKeyConstraint(['campaign_id'], ['campaign.id'], name=op.f('fk_delivery_campaign_id_campaign')),
    sa.ForeignKeyConstraint(['contact_id'], ['contact.id'], name=op.f('fk_delivery_contact_id_contact')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_delivery')),
    sa.UniqueConstraint('automation_id', 'contact_id', name=op.f('uq_delivery_automation_id_contact_id')),
    sa.UniqueConstraint('campaign_id', 'email_key', name=op.f('uq_delivery_campaign_id_email_key')),
    sa.UniqueConstraint('token', name=op.f('uq_delivery_token'))
    )
    with op.batch_alter_table('delivery', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_delivery_account_id'), ['account_id'], unique=False)
        batch_op.create_index('ix_delivery_automation', ['automation_id', 'id'], unique=False)
        batch_op.create_index('ix_delivery_campaign', ['campaign_id', 'state', 'id'], unique=False)
        batch_op.create_index(batch_op.f('ix_delivery_contact_id'), ['contact_id'], unique=False)
        batch_op.create_index('ix_delivery_due', ['account_id', 'state', 'next_try_at'], unique=False)

    op.create_table('thread_claim',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('account_id', sa.Uuid(), nullable=False),
    sa.Column('created_at', UtcDateTime(), nullable=False),
    sa.Column('user_id', sa.Uuid(), nullable=False),
    sa.Column('mailbox_key', sa.String(length=320), nullable=False),
    sa.Column('provider_thread_id', sa.String(length=300), nullable=False),
    sa.Column('conversation_id', sa.Uuid(), nullable=False),
    sa.ForeignKeyConstraint(['account_id'], ['account.id'], name=op.f('fk_thread_claim_account_id_account')),
    sa.ForeignKeyConstraint(['conversation_id'], ['conversation.id'], name=op.f('fk_thread_claim_conversation_id_conversation')),
    sa.ForeignKeyConstraint(['user_id'], ['user.id'], name=op.f('fk_thread_claim_user_id_user')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_thread_claim')),
    sa.UniqueConstraint('user_id', 'mailbox_key', 'provider_thread_id', name=op.f('uq_thread_claim_user_id_mailbox_key_provider_thread_id'))
    )
    with op.batch_alter_table('thread_claim', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_thread_claim_account_id'), ['account_id'], unique=False)

    op.create_table('unsubscribe',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('account_id', sa.Uuid(), nullable=False),
    sa.Column('created_at', UtcDateTime(), nullable=False),
    sa.Column('email_key', sa.String(length=320), nullable=False),
    sa.Column('delivery_id', sa.Uuid(), nullable=True),
    sa.Column('source', sa.String(length=20), nullable=False),
    sa.ForeignKeyConstraint(['account_id'], ['account.id'], name=op.f('fk_unsubscribe_account_id_account')),
    sa.ForeignKeyConstraint(['delivery_id'], ['delivery.id'], name=op.f('fk_unsubscribe_delivery_id_delivery')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_unsubscribe')),
    sa.UniqueConstraint('account_id', 'email_key', name=op.f('uq_unsubscribe_account_id_email_key'))
    )
    with op.batch_alter_table('unsubscribe', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_unsubscribe_account_id'), ['account_id'], unique=False)

    op.create_table('intake_mail',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('account_id', sa.Uuid(), nullable=False),
    sa.Column('created_at', UtcDateTime(), nullable=False),
    sa.Column('user_id', sa.Uuid(), nullable=True),
    sa.Column('kind', sa.String(length=10), nullable=False),
    sa.Column('token', sa.String(length=40), nullable=False),
    sa.Column('conversation_id', sa.Uuid(), nullable=True),
    sa.Column('outbox_id', sa.Uuid(), nullable=True),
    sa.Column('delivery_id', sa.Uuid(), nullable=True),
    sa.Column('digest', sa.String(length=64), nullable=False),
    sa.Column('has_null_sender', sa.Boolean(), nullable=False),
    sa.Column('size', sa.BigInteger(), nullable=False),
    sa.Column('raw', sa.LargeBinary(), nullable=True),
    sa.Column('state', sa.String(length=10), nullable=False),
    sa.Column('outcome', sa.String(length=10), nullable=False),
    sa.Column('reason', sa.String(length=40), nullable=False),
    sa.Column('message_id', sa.Uuid(), nullable=True),
    sa.Column('attempts', sa.Integer(), nullable=False),
    sa.Column('next_try_at', UtcDateTime(), nullable=False),
    sa.Column('decided_at', UtcDateTime(), nullable=True),
    sa.ForeignKeyConstraint(['account_id'], ['account.id'], name=op.f('fk_intake_mail_account_id_account')),
    sa.ForeignKeyConstraint(['conversation_id'], ['conversation.id'], name=op.f('fk_intake_mail_conversation_id_conversation')),
    sa.ForeignKeyConstraint(['delivery_id'], ['delivery.id'], name=op.f('fk_intake_mail_delivery_id_delivery')),
    sa.ForeignKeyConstraint(['message_id'], ['message.id'], name=op.f('fk_intake_mail_message_id_message')),
    sa.ForeignKeyConstraint(['outbox_id'], ['outbox_mail.id'], name=op.f('fk_intake_mail_outbox_id_outbox_mail')),
    sa.ForeignKeyConstraint(['user_id'], ['user.id'], name=op.f('fk_intake_mail_user_id_user')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_intake_mail')),
    sa.UniqueConstraint('token', 'digest', name=op.f('uq_intake_mail_token_digest'))
    )
    with op.batch_alter_table('intake_mail', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_intake_mail_account_id'), ['account_id'], unique=False)
        batch_op.create_index('ix_intake_mail_due', ['state', 'next_try_at'], unique=False)
        batch_op.create_index('ix_intake_mail_owner', ['account_id', 'user_id', 'id'], unique=False)

    with op.batch_alter_table('account', schema=None) as batch_op:
        batch_op.add_column(sa.Column('send_cap_workspace', sa.Integer(), nullable=False, server_default='500'))
        batch_op.add_column(sa.Column('send_cap_microsoft', sa.Integer(), nullable=False, server_default='500'))

    with op.batch_alter_table('connection', schema=None) as batch_op:
        batch_op.add_column(sa.Column('provider_cap_until', UtcDateTime(), nullable=True))

    with op.batch_alter_table('conversation', schema=None) as batch_op:
        batch_op.add_column(sa.Column('continued_in_id', sa.Uuid(), nullable=True))
        batch_op.add_column(sa.Column('reply_token', sa.String(length=40), nullable=True))
        batch_op.create_index('uq_conversation_reply_token', ['reply_token'], unique=True)

    with op.batch_alter_table('outbox_mail', schema=None) as batch_op:
        batch_op.add_column(sa.Column('path', sa.String(length=10), nullable=False, server_default='mailbox'))
        batch_op.add_column(sa.Column('waits_for', sa.String(length=10), nullable=False, server_default=''))
        batch_op.add_column(sa.Column('send_at', UtcDateTime(), nullable=True))
        batch_op.add_column(sa.Column('handed_at', UtcDateTime(), nullable=True))
        batch_op.add_column(sa.Column('may_have_left', sa.Boolean(), nullable=False, server_default=sa.false()))
        batch_op.add_column(sa.Column('bounce_token', sa.String(length=40), nullable=True))
        batch_op.create_index('uq_outbox_mail_bounce_token', ['bounce_token'], unique=True)



def downgrade() -> None:
    with op.batch_alter_table('outbox_mail', schema=None) as batch_op:
        batch_op.drop_index('uq_outbox_mail_bounce_token')
        batch_op.drop_column('bounce_token')
        batch_op.drop_column('may_have_left')
        batch_op.drop_column('handed_at')
        batch_op.drop_column('send_at')
        batch_op.drop_column('waits_for')
        batch_op.drop_column('path')

    with op.batch_alter_table('conversation', schema=None) as batch_op:
        batch_op.drop_index('uq_conversation_reply_token')
        batch_op.drop_column('reply_token')
        batch_op.drop_column('continued_in_id')

    with op.batch_alter_table('connection', schema=None) as batch_op:
        batch_op.drop_column('provider_cap_until')

    with op.batch_alter_table('account', schema=None) as batch_op:
        batch_op.drop_column('send_cap_microsoft')
        batch_op.drop_column('send_cap_workspace')

    with op.batch_alter_table('intake_mail', schema=None) as batch_op:
        batch_op.drop_index('ix_intake_mail_owner')
        batch_op.drop_index('ix_intake_mail_due')
        batch_op.drop_index(batch_op.f('ix_intake_mail_account_id'))

    op.drop_table('intake_mail')
    with op.batch_alter_table('unsubscribe', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_unsubscribe_account_id'))

    op.drop_table('unsubscribe')
    with op.batch_alter_table('thread_claim', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_thread_claim_account_id'))

    op.drop_table('thread_claim')
    with op.batch_alter_table('delivery', schema=None) as batch_op:
        batch_op.drop_index('ix_delivery_due')
        batch_op.drop_index(batch_op.f('ix_delivery_contact_id'))
        batch_op.drop_index('ix_delivery_campaign')
        batch_op.drop_index('ix_delivery_automation')
        batch_op.drop_index(batch_op.f('ix_delivery_account_id'))

    op.drop_table('delivery')
    with op.batch_alter_table('campaign', schema=None) as batch_op:
        batch_op.drop_index('ix_campaign_recent')
        batch_op.drop_index(batch_op.f('ix_campaign_account_id'))

    op.drop_table('campaign')
    op.drop_table('mail_relay')
    with op.batch_alter_table('automation', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_automation_account_id'))

    op.drop_table('automation')
