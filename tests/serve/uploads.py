"""Pictures as files."""

import io

from PIL import Image


def encoded(image, form="JPEG", **options):
    """Bytes of a picture file."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, form, **options)
    return buffer.getvalue()
