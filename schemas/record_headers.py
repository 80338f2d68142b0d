"""The headers of the records that we produce, for the generated documents; tests compare the records with them.

Each value is UTF-8 text. Further headers may be added.
"""

from typing import Final, Literal

from pydantic import BaseModel, Field

_INTEGER: Final = r"^[0-9]+$"


class TraceHeaders(BaseModel):
    """Passed on from the request or the record that caused this one, where it had them. Source: W3C Trace Context."""

    traceparent: str = Field(default="", examples=["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"])
    tracestate: str = Field(default="")


class EventHeaders(TraceHeaders):
    """Of every event. Source: CloudEvents 1.0.2, Kafka protocol binding, binary mode."""

    ce_specversion: Literal["1.0"]
    ce_id: str = Field(description="the event_id", examples=["0198f0c2-7a31-7d2e-8f6c-3b1d5e0a9c44"])
    ce_type: str = Field(description="the topic", examples=["photos.uploaded"])
    ce_source: str = Field(description="who has produced it", examples=["/thumbstream/worker"])
    ce_time: str = Field(description="the occurred_at", examples=["2026-11-29T08:30:00+00:00"])
    content_type: Literal["application/json"] = Field(alias="content-type")


class ProducerHeaders(TraceHeaders):
    """What we heed of another service's record; every header may be absent."""

    ce_id: str = Field(default="", description="the event_id of a body without one")
    ce_source: str = Field(
        default="", description="who produces it, shown beside what failed", examples=["/shop/photos"]
    )


class RetryHeaders(TraceHeaders):
    """Which attempt is due, when, and why it is made."""

    thumbstream_attempt: str = Field(description="2 is the first repeat", pattern=_INTEGER, examples=["2"])
    thumbstream_due_at: str = Field(
        description="seconds since 1970", pattern=r"^[0-9]+\.[0-9]{3}$", examples=["1764403400.000"]
    )
    thumbstream_error_code: str = Field(
        default="", description="why the attempt before failed", examples=["storage_unavailable"]
    )


class DeadLetterHeaders(BaseModel):
    """Beside the headers that the record had: whence it is and why it is there."""

    thumbstream_source_topic: str = Field(examples=["photos.uploaded"])
    thumbstream_source_partition: str = Field(pattern=_INTEGER, examples=["3"])
    thumbstream_source_offset: str = Field(pattern=_INTEGER, examples=["184467"])
    thumbstream_reason: str = Field(description="for a person", examples=["storage_key: Field required"])
    thumbstream_dead_at: str = Field(examples=["2026-11-29T08:30:00+00:00"])
    thumbstream_left_out_bytes: str = Field(
        default="0",
        pattern=_INTEGER,
        description="only where the record was too large to keep its value and own headers: how long the value was",
    )


class SettlementHeaders(BaseModel):
    """Which dead letter of the same partition was settled, and how."""

    thumbstream_settles_offset: str = Field(pattern=_INTEGER, examples=["12"])
    thumbstream_settled_as: Literal["replayed", "dropped"]
    thumbstream_settled_at: str = Field(examples=["2026-11-29T08:30:00+00:00"])
