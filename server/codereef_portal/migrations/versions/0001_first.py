# SPDX-License-Identifier: Apache-2.0
"""The first tables: components, results, boards."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from codereef_portal.db import UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("actor", sa.String(length=80), nullable=False),
        sa.Column("action", sa.String(length=80), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
    )
    with op.batch_alter_table("audit", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_audit_action"), ["action"], unique=False)
        batch_op.create_index(batch_op.f("ix_audit_at"), ["at"], unique=False)
        batch_op.create_index(batch_op.f("ix_audit_subject"), ["subject"], unique=False)

    op.create_table(
        "counter",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_counter")),
    )
    op.create_table(
        "machine_class",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("digest", sa.String(length=71), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("label", sa.String(length=200), nullable=False),
        sa.Column("cpu", sa.String(length=200), nullable=False),
        sa.Column("arch", sa.String(length=80), nullable=False),
        sa.Column("os", sa.String(length=200), nullable=False),
        sa.Column("accelerator", sa.String(length=200), nullable=False),
        sa.Column("cores", sa.Integer(), nullable=True),
        sa.Column("memory", sa.BigInteger(), nullable=True),
        sa.Column("first_seen", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_machine_class")),
        sa.UniqueConstraint("digest", name=op.f("uq_machine_class_digest")),
    )
    with op.batch_alter_table("machine_class", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_machine_class_cpu"), ["cpu"], unique=False)
        batch_op.create_index(batch_op.f("ix_machine_class_label"), ["label"], unique=False)

    op.create_table(
        "publisher",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_publisher")),
        sa.UniqueConstraint("name", name=op.f("uq_publisher_name")),
    )
    op.create_table(
        "component",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("publisher_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("summary", sa.String(length=200), nullable=False),
        sa.Column("task", sa.String(length=80), nullable=True),
        sa.Column("license", sa.String(length=120), nullable=False),
        sa.Column("latest_version", sa.String(length=60), nullable=False),
        sa.Column("search_text", sa.Text(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["publisher_id"], ["publisher.id"], name=op.f("fk_component_publisher_id_publisher")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_component")),
        sa.UniqueConstraint("kind", "name", name=op.f("uq_component_kind_name")),
    )
    with op.batch_alter_table("component", schema=None) as batch_op:
        batch_op.create_index("ix_component_kind_id", ["kind", "id"], unique=False)
        batch_op.create_index(batch_op.f("ix_component_name"), ["name"], unique=False)
        batch_op.create_index(batch_op.f("ix_component_publisher_id"), ["publisher_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_component_updated_at"), ["updated_at"], unique=False)

    op.create_table(
        "result",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("uid", sa.String(length=64), nullable=False),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=False),
        sa.Column("ended_at", UtcDateTime(), nullable=False),
        sa.Column("publisher_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("action", sa.String(length=20), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("trust", sa.SmallInteger(), nullable=False),
        sa.Column("solution", sa.String(length=150), nullable=False),
        sa.Column("solution_name", sa.String(length=100), nullable=False),
        sa.Column("solution_digest", sa.String(length=71), nullable=False),
        sa.Column("configuration", sa.String(length=400), nullable=False),
        sa.Column("lock_digest", sa.String(length=71), nullable=False),
        sa.Column("task", sa.String(length=80), nullable=False),
        sa.Column("model", sa.String(length=200), nullable=False),
        sa.Column("precision", sa.String(length=40), nullable=False),
        sa.Column("dataset", sa.String(length=300), nullable=False),
        sa.Column("runtime_name", sa.String(length=80), nullable=False),
        sa.Column("runtime_version", sa.String(length=60), nullable=False),
        sa.Column("scenario", sa.String(length=60), nullable=False),
        sa.Column("target", sa.String(length=80), nullable=False),
        sa.Column("comparability", sa.String(length=71), nullable=False),
        sa.Column("machine_class_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("machine_instance", sa.String(length=120), nullable=False),
        sa.Column("client_version", sa.String(length=60), nullable=False),
        sa.Column("latency_p50", sa.Float(), nullable=True),
        sa.Column("latency_p50_lo", sa.Float(), nullable=True),
        sa.Column("latency_p50_hi", sa.Float(), nullable=True),
        sa.Column("latency_p90", sa.Float(), nullable=True),
        sa.Column("latency_p99", sa.Float(), nullable=True),
        sa.Column("throughput", sa.Float(), nullable=True),
        sa.Column("accuracy", sa.Float(), nullable=True),
        sa.Column("accuracy_lo", sa.Float(), nullable=True),
        sa.Column("accuracy_hi", sa.Float(), nullable=True),
        sa.Column("accuracy_metric", sa.String(length=60), nullable=True),
        sa.Column("peak_rss", sa.Float(), nullable=True),
        sa.Column("load_time", sa.Float(), nullable=True),
        sa.Column("model_size", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(
            ["machine_class_id"], ["machine_class.id"], name=op.f("fk_result_machine_class_id_machine_class")
        ),
        sa.ForeignKeyConstraint(["publisher_id"], ["publisher.id"], name=op.f("fk_result_publisher_id_publisher")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_result")),
        sa.UniqueConstraint("uid", name=op.f("uq_result_uid")),
    )
    with op.batch_alter_table("result", schema=None) as batch_op:
        batch_op.create_index("ix_result_comparability_latency_p50", ["comparability", "latency_p50"], unique=False)
        batch_op.create_index(batch_op.f("ix_result_lock_digest"), ["lock_digest"], unique=False)
        batch_op.create_index("ix_result_machine_class_id_id", ["machine_class_id", "id"], unique=False)
        batch_op.create_index(batch_op.f("ix_result_machine_instance"), ["machine_instance"], unique=False)
        batch_op.create_index("ix_result_model_id", ["model", "id"], unique=False)
        batch_op.create_index(batch_op.f("ix_result_publisher_id"), ["publisher_id"], unique=False)
        batch_op.create_index("ix_result_solution_id", ["solution", "id"], unique=False)
        batch_op.create_index(batch_op.f("ix_result_solution_name"), ["solution_name"], unique=False)
        batch_op.create_index(batch_op.f("ix_result_started_at"), ["started_at"], unique=False)
        batch_op.create_index("ix_result_state_id", ["state", "id"], unique=False)
        batch_op.create_index("ix_result_task_state_accuracy_id", ["task", "state", "accuracy", "id"], unique=False)
        batch_op.create_index(
            "ix_result_task_state_latency_p50_id", ["task", "state", "latency_p50", "id"], unique=False
        )
        batch_op.create_index(
            "ix_result_task_state_latency_p90_id", ["task", "state", "latency_p90", "id"], unique=False
        )
        batch_op.create_index(
            "ix_result_task_state_latency_p99_id", ["task", "state", "latency_p99", "id"], unique=False
        )
        batch_op.create_index("ix_result_task_state_load_time_id", ["task", "state", "load_time", "id"], unique=False)
        batch_op.create_index("ix_result_task_state_model_size_id", ["task", "state", "model_size", "id"], unique=False)
        batch_op.create_index("ix_result_task_state_peak_rss_id", ["task", "state", "peak_rss", "id"], unique=False)
        batch_op.create_index("ix_result_task_state_status_id", ["task", "state", "status", "id"], unique=False)
        batch_op.create_index("ix_result_task_state_throughput_id", ["task", "state", "throughput", "id"], unique=False)

    op.create_table(
        "board",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("version", sa.String(length=60), nullable=False),
        sa.Column("component_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("task", sa.String(length=80), nullable=False),
        sa.Column("summary", sa.String(length=200), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("x", sa.String(length=80), nullable=False),
        sa.Column("y", sa.String(length=80), nullable=False),
        sa.Column("color", sa.String(length=80), nullable=False),
        sa.Column("metrics", sa.JSON(), nullable=False),
        sa.Column("columns", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["component_id"], ["component.id"], name=op.f("fk_board_component_id_component")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_board")),
        sa.UniqueConstraint("name", name=op.f("uq_board_name")),
    )
    with op.batch_alter_table("board", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_board_component_id"), ["component_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_board_task"), ["task"], unique=False)

    op.create_table(
        "component_tag",
        sa.Column("component_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("tag", sa.String(length=80), nullable=False),
        sa.ForeignKeyConstraint(
            ["component_id"], ["component.id"], name=op.f("fk_component_tag_component_id_component")
        ),
        sa.PrimaryKeyConstraint("component_id", "tag", name=op.f("pk_component_tag")),
    )
    with op.batch_alter_table("component_tag", schema=None) as batch_op:
        batch_op.create_index("ix_component_tag_tag_component_id", ["tag", "component_id"], unique=False)

    op.create_table(
        "component_version",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("component_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("version", sa.String(length=60), nullable=False),
        sa.Column("digest", sa.String(length=71), nullable=False),
        sa.Column("manifest", sa.JSON(), nullable=False),
        sa.Column("summary", sa.String(length=200), nullable=False),
        sa.Column("license", sa.String(length=120), nullable=False),
        sa.Column("readme", sa.Text(), nullable=True),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("state_reason", sa.Text(), nullable=False),
        sa.Column("published_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["component_id"], ["component.id"], name=op.f("fk_component_version_component_id_component")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_component_version")),
        sa.UniqueConstraint("component_id", "version", name=op.f("uq_component_version_component_id_version")),
    )
    with op.batch_alter_table("component_version", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_component_version_component_id"), ["component_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_component_version_digest"), ["digest"], unique=False)
        batch_op.create_index(batch_op.f("ix_component_version_published_at"), ["published_at"], unique=False)

    op.create_table(
        "flag",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("result_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("reason", sa.String(length=80), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("raised_at", UtcDateTime(), nullable=False),
        sa.Column("resolved_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["result_id"], ["result.id"], name=op.f("fk_flag_result_id_result")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_flag")),
    )
    with op.batch_alter_table("flag", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_flag_reason"), ["reason"], unique=False)
        batch_op.create_index(batch_op.f("ix_flag_result_id"), ["result_id"], unique=False)

    op.create_table(
        "result_document",
        sa.Column("result_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["result_id"], ["result.id"], name=op.f("fk_result_document_result_id_result")),
        sa.PrimaryKeyConstraint("result_id", name=op.f("pk_result_document")),
    )
    op.create_table(
        "result_metric",
        sa.Column("result_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("value", sa.Float(), nullable=True),
        sa.Column("lo", sa.Float(), nullable=True),
        sa.Column("hi", sa.Float(), nullable=True),
        sa.Column("unit", sa.String(length=40), nullable=False),
        sa.Column("direction", sa.String(length=10), nullable=False),
        sa.ForeignKeyConstraint(["result_id"], ["result.id"], name=op.f("fk_result_metric_result_id_result")),
        sa.PrimaryKeyConstraint("result_id", "name", name=op.f("pk_result_metric")),
    )
    with op.batch_alter_table("result_metric", schema=None) as batch_op:
        batch_op.create_index("ix_result_metric_name_value", ["name", "value"], unique=False)

    op.create_table(
        "upload",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("result_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("idempotency_key", sa.String(length=120), nullable=True),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.Column("created", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["result_id"], ["result.id"], name=op.f("fk_upload_result_id_result")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_upload")),
        sa.UniqueConstraint("idempotency_key", name=op.f("uq_upload_idempotency_key")),
    )
    with op.batch_alter_table("upload", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_upload_result_id"), ["result_id"], unique=False)

    op.create_table(
        "board_stat",
        sa.Column("board_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("results", sa.BigInteger(), nullable=False),
        sa.Column("machines", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("latest_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["board_id"], ["board.id"], name=op.f("fk_board_stat_board_id_board")),
        sa.PrimaryKeyConstraint("board_id", name=op.f("pk_board_stat")),
    )
    op.create_table(
        "capability",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("version_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("relation", sa.String(length=20), nullable=False),
        sa.ForeignKeyConstraint(
            ["version_id"], ["component_version.id"], name=op.f("fk_capability_version_id_component_version")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_capability")),
    )
    with op.batch_alter_table("capability", schema=None) as batch_op:
        batch_op.create_index("ix_capability_name_version_id", ["name", "version_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_capability_version_id"), ["version_id"], unique=False)

    op.create_table(
        "component_file",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("version_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.String(length=240), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=True),
        sa.Column("license", sa.String(length=120), nullable=True),
        sa.ForeignKeyConstraint(
            ["version_id"],
            ["component_version.id"],
            name=op.f("fk_component_file_version_id_component_version"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_component_file")),
    )
    with op.batch_alter_table("component_file", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_component_file_sha256"), ["sha256"], unique=False)
        batch_op.create_index(batch_op.f("ix_component_file_version_id"), ["version_id"], unique=False)

    op.create_table(
        "dependency",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("version_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("role", sa.String(length=80), nullable=False),
        sa.Column("needs", sa.String(length=120), nullable=False),
        sa.Column("constraint", sa.String(length=200), nullable=True),
        sa.Column("optional", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["version_id"], ["component_version.id"], name=op.f("fk_dependency_version_id_component_version")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dependency")),
    )
    with op.batch_alter_table("dependency", schema=None) as batch_op:
        batch_op.create_index("ix_dependency_needs_version_id", ["needs", "version_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_dependency_version_id"), ["version_id"], unique=False)

    op.create_table(
        "facet",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("board_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("dimension", sa.String(length=20), nullable=False),
        sa.Column("value", sa.String(length=300), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["board_id"], ["board.id"], name=op.f("fk_facet_board_id_board")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_facet")),
        sa.UniqueConstraint("board_id", "dimension", "value", name=op.f("uq_facet_board_id_dimension_value")),
    )
    op.create_table(
        "points_cache",
        sa.Column("board_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("filter_hash", sa.String(length=64), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("overview", sa.JSON(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["board_id"], ["board.id"], name=op.f("fk_points_cache_board_id_board")),
        sa.PrimaryKeyConstraint("board_id", "filter_hash", name=op.f("pk_points_cache")),
    )
    with op.batch_alter_table("points_cache", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_points_cache_created_at"), ["created_at"], unique=False)

    op.create_table(
        "result_component",
        sa.Column("result_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("reference", sa.String(length=170), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("digest", sa.String(length=71), nullable=False),
        sa.Column("version_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.ForeignKeyConstraint(["result_id"], ["result.id"], name=op.f("fk_result_component_result_id_result")),
        sa.ForeignKeyConstraint(
            ["version_id"],
            ["component_version.id"],
            name=op.f("fk_result_component_version_id_component_version"),
        ),
        sa.PrimaryKeyConstraint("result_id", "reference", name=op.f("pk_result_component")),
    )
    with op.batch_alter_table("result_component", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_result_component_digest"), ["digest"], unique=False)
        batch_op.create_index("ix_result_component_kind_name_result_id", ["kind", "name", "result_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_result_component_version_id"), ["version_id"], unique=False)


def downgrade() -> None:
    """Undo."""
    with op.batch_alter_table("result_component", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_result_component_version_id"))
        batch_op.drop_index("ix_result_component_kind_name_result_id")
        batch_op.drop_index(batch_op.f("ix_result_component_digest"))

    op.drop_table("result_component")
    with op.batch_alter_table("points_cache", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_points_cache_created_at"))

    op.drop_table("points_cache")
    op.drop_table("facet")
    with op.batch_alter_table("dependency", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_dependency_version_id"))
        batch_op.drop_index("ix_dependency_needs_version_id")

    op.drop_table("dependency")
    with op.batch_alter_table("component_file", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_component_file_version_id"))
        batch_op.drop_index(batch_op.f("ix_component_file_sha256"))

    op.drop_table("component_file")
    with op.batch_alter_table("capability", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_capability_version_id"))
        batch_op.drop_index("ix_capability_name_version_id")

    op.drop_table("capability")
    op.drop_table("board_stat")
    with op.batch_alter_table("upload", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_upload_result_id"))

    op.drop_table("upload")
    with op.batch_alter_table("result_metric", schema=None) as batch_op:
        batch_op.drop_index("ix_result_metric_name_value")

    op.drop_table("result_metric")
    op.drop_table("result_document")
    with op.batch_alter_table("flag", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_flag_result_id"))
        batch_op.drop_index(batch_op.f("ix_flag_reason"))

    op.drop_table("flag")
    with op.batch_alter_table("component_version", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_component_version_published_at"))
        batch_op.drop_index(batch_op.f("ix_component_version_digest"))
        batch_op.drop_index(batch_op.f("ix_component_version_component_id"))

    op.drop_table("component_version")
    with op.batch_alter_table("component_tag", schema=None) as batch_op:
        batch_op.drop_index("ix_component_tag_tag_component_id")

    op.drop_table("component_tag")
    with op.batch_alter_table("board", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_board_task"))
        batch_op.drop_index(batch_op.f("ix_board_component_id"))

    op.drop_table("board")
    with op.batch_alter_table("result", schema=None) as batch_op:
        batch_op.drop_index("ix_result_task_state_throughput_id")
        batch_op.drop_index("ix_result_task_state_status_id")
        batch_op.drop_index("ix_result_task_state_peak_rss_id")
        batch_op.drop_index("ix_result_task_state_model_size_id")
        batch_op.drop_index("ix_result_task_state_load_time_id")
        batch_op.drop_index("ix_result_task_state_latency_p99_id")
        batch_op.drop_index("ix_result_task_state_latency_p90_id")
        batch_op.drop_index("ix_result_task_state_latency_p50_id")
        batch_op.drop_index("ix_result_task_state_accuracy_id")
        batch_op.drop_index("ix_result_state_id")
        batch_op.drop_index(batch_op.f("ix_result_started_at"))
        batch_op.drop_index(batch_op.f("ix_result_solution_name"))
        batch_op.drop_index("ix_result_solution_id")
        batch_op.drop_index(batch_op.f("ix_result_publisher_id"))
        batch_op.drop_index("ix_result_model_id")
        batch_op.drop_index(batch_op.f("ix_result_machine_instance"))
        batch_op.drop_index("ix_result_machine_class_id_id")
        batch_op.drop_index(batch_op.f("ix_result_lock_digest"))
        batch_op.drop_index("ix_result_comparability_latency_p50")

    op.drop_table("result")
    with op.batch_alter_table("component", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_component_updated_at"))
        batch_op.drop_index(batch_op.f("ix_component_publisher_id"))
        batch_op.drop_index(batch_op.f("ix_component_name"))
        batch_op.drop_index("ix_component_kind_id")

    op.drop_table("component")
    op.drop_table("publisher")
    with op.batch_alter_table("machine_class", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_machine_class_label"))
        batch_op.drop_index(batch_op.f("ix_machine_class_cpu"))

    op.drop_table("machine_class")
    op.drop_table("counter")
    with op.batch_alter_table("audit", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_audit_subject"))
        batch_op.drop_index(batch_op.f("ix_audit_at"))
        batch_op.drop_index(batch_op.f("ix_audit_action"))

    op.drop_table("audit")
