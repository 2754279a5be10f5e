"""What the scripts of this folder measure unpooled against, and on what."""
