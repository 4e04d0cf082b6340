"""One file per engine: transformers, vLLM, Ray and servers with OpenAI's API."""
