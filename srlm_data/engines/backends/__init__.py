"""One file an engine: transformers, vLLM, Ray and servers that speak OpenAI's API."""
