"""The lab's messenger: a server that speaks Telegram's Bot API, and a phone to read and press on."""
