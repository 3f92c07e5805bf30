#!/bin/sh
# What a LiteLLM proxy on config.yaml answers: its models and prices, a chat with its cost, a stream.
set -eu
proxy="http://127.0.0.1:${PORT:-4000}"
auth="Authorization: Bearer $LITELLM_MASTER_KEY"
json="Content-Type: application/json"

curl -sSf "$proxy/v1/models" -H "$auth"
echo
curl -sSf "$proxy/model/info" -H "$auth"
echo
curl -sSf -D - "$proxy/v1/chat/completions" -H "$auth" -H "$json" -d '{
  "model": "openai/gpt-oss-20b",
  "reasoning_effort": "low",
  "messages": [{"role": "user", "content": "Why is the sky blue?"}]
}' # -D -: the headers, with x-litellm-response-cost
echo
curl -sSfN "$proxy/v1/chat/completions" -H "$auth" -H "$json" -d '{
  "model": "family/gpt-oss",
  "stream": true,
  "messages": [{"role": "user", "content": "Count to three."}]
}'
