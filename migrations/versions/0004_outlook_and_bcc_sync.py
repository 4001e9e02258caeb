"""Outlook and BCC Sync

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

from portal.database import UtcDateTime

revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('bcc_address',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('account_id', sa.Uuid(), nullable=False),
    sa.Column('created_at', UtcDateTime(), nullable=False),
    sa.Column('user_id', sa.Uuid(), nullable=False),
    sa.Column('token', sa.String(length=40), nullable=False),
    sa.Column('replaced_at', UtcDateTime(), nullable=True),
    sa.ForeignKeyConstraint(['account_id'], ['account.id'], name=op.f('fk_bcc_address_account_id_account')),
    sa.ForeignKeyConstraint(['user_id'], ['user.id'], name=op.f('fk_bcc_address_user_id_user')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_bcc_address')),
    sa.UniqueConstraint('token', name=op.f('uq_bcc_address_token'))
    )
    with op.batch_alter_table('bcc_address', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_bcc_address_account_id'), ['account_id'], unique=False)
        batch_op.create_index('uq_bcc_address_owner', ['account_id', 'user_id'], unique=True, sqlite_where=sa.text('replaced_at IS NULL'), postgresql_where=sa.text('replaced_at IS NULL'))

    op.create_table('own_address',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('account_id', sa.Uuid(), nullable=False),
    sa.Column('created_at', UtcDateTime(), nullable=False),
    sa.Column('user_id', sa.Uuid(), nullable=False),
    sa.Column('email', sa.String(length=320), nullable=False),
    sa.Column('email_key', sa.String(length=320), nullable=False),
    sa.Column('code_hash', sa.String(length=64), nullable=False),
    sa.Column('code_expires_at', UtcDateTime(), nullable=True),
    sa.Column('tries', sa.Integer(), nullable=False),
    sa.Column('verified_at', UtcDateTime(), nullable=True),
    sa.ForeignKeyConstraint(['account_id'], ['account.id'], name=op.f('fk_own_address_account_id_account')),
    sa.ForeignKeyConstraint(['user_id'], ['user.id'], name=op.f('fk_own_address_user_id_user')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_own_address')),
    sa.UniqueConstraint('account_id', 'user_id', 'email_key', name=op.f('uq_own_address_account_id_user_id_email_key'))
    )
    with op.batch_alter_table('own_address', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_own_address_account_id'), ['account_id'], unique=False)

    op.create_table('subscription',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('created_at', UtcDateTime(), nullable=False),
    sa.Column('grant_id', sa.Uuid(), nullable=False),
    sa.Column('remote_id', sa.String(length=200), nullable=False),
    sa.Column('resource', sa.String(length=200), nullable=False),
    sa.Column('expires_at', UtcDateTime(), nullable=False),
    sa.ForeignKeyConstraint(['grant_id'], ['grant.id'], name=op.f('fk_subscription_grant_id_grant')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_subscription')),
    sa.UniqueConstraint('remote_id', name=op.f('uq_subscription_remote_id'))
    )
    with op.batch_alter_table('subscription', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_subscription_grant_id'), ['grant_id'], unique=False)

    op.create_table('tracked_contact',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('account_id', sa.Uuid(), nullable=False),
    sa.Column('created_at', UtcDateTime(), nullable=False),
    sa.Column('user_id', sa.Uuid(), nullable=False),
    sa.Column('contact_id', sa.Uuid(), nullable=False),
    sa.Column('since', UtcDateTime(), nullable=False),
    sa.Column('stopped_at', UtcDateTime(), nullable=True),
    sa.ForeignKeyConstraint(['account_id'], ['account.id'], name=op.f('fk_tracked_contact_account_id_account')),
    sa.ForeignKeyConstraint(['contact_id'], ['contact.id'], name=op.f('fk_tracked_contact_contact_id_contact')),
    sa.ForeignKeyConstraint(['user_id'], ['user.id'], name=op.f('fk_tracked_contact_user_id_user')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_tracked_contact')),
    sa.UniqueConstraint('account_id', 'user_id', 'contact_id', name=op.f('uq_tracked_contact_account_id_user_id_contact_id'))
    )
    with op.batch_alter_table('tracked_contact', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_tracked_contact_account_id'), ['account_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_tracked_contact_contact_id'), ['contact_id'], unique=False)

    with op.batch_alter_table('account', schema=None) as batch_op:
        batch_op.add_column(sa.Column('bcc_new_contacts', sa.String(length=10), server_default='create', nullable=False))

    # Two links of Graph may be longer than the old column. By way of a new one, since SQLite cannot change a type in place
    # and a table that others point at must not be made anew.
    op.add_column('connection', sa.Column('new_cursor', sa.Text(), server_default='', nullable=False))
    op.execute('UPDATE connection SET new_cursor = cursor')
    op.drop_column('connection', 'cursor')
    op.execute('ALTER TABLE connection RENAME COLUMN new_cursor TO cursor')
    op.add_column('connection', sa.Column('threads_asked_at', UtcDateTime(), nullable=True))

    with op.batch_alter_table('intake_mail', schema=None) as batch_op:
        batch_op.add_column(sa.Column('peer', sa.String(length=45), server_default='', nullable=False))
        batch_op.add_column(sa.Column('helo', sa.String(length=255), server_default='', nullable=False))
        batch_op.add_column(sa.Column('mail_from', sa.String(length=320), server_default='', nullable=False))
        batch_op.add_column(sa.Column('authentication', sa.String(length=10), server_default='', nullable=False))
        batch_op.create_index('ix_intake_mail_kept', ['token'], unique=False, sqlite_where=sa.text('raw IS NOT NULL'), postgresql_where=sa.text('raw IS NOT NULL'))



def downgrade() -> None:
    with op.batch_alter_table('intake_mail', schema=None) as batch_op:
        batch_op.drop_index('ix_intake_mail_kept', sqlite_where=sa.text('raw IS NOT NULL'), postgresql_where=sa.text('raw IS NOT NULL'))
        batch_op.drop_column('authentication')
        batch_op.drop_column('mail_from')
        batch_op.drop_column('helo')
        batch_op.drop_column('peer')

    op.drop_column('connection', 'threads_asked_at')
    with op.batch_alter_table('account', schema=None) as batch_op:
        batch_op.drop_column('bcc_new_contacts')

    with op.batch_alter_table('tracked_contact', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_tracked_contact_contact_id'))
        batch_op.drop_index(batch_op.f('ix_tracked_contact_account_id'))

    op.drop_table('tracked_contact')
    with op.batch_alter_table('subscription', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_subscription_grant_id'))

    op.drop_table('subscription')
    with op.batch_alter_table('own_address', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_own_address_account_id'))

    op.drop_table('own_address')
    with op.batch_alter_table('bcc_address', schema=None) as batch_op:
        batch_op.drop_index('uq_bcc_address_owner', sqlite_where=sa.text('replaced_at IS NULL'), postgresql_where=sa.text('replaced_at IS NULL'))
        batch_op.drop_index(batch_op.f('ix_bcc_address_account_id'))

    op.drop_table('bcc_address')
