"""What a model adds to a list of prompts, whatever it writes around them."""

import json
import time

import pytest

from srlm_data.demo.language import PHRASINGS
from srlm_data.steps.self_instruct._lists import new_prompts

SHOWN = [
    f"Tell me what is {word} in a garden and why."
    for word in "red blue green pink black white grey golden".split()
]
"""Eight, so that the next number is nine."""


def read(text):
    return list(new_prompts(text, SHOWN))


def listed(mark, prompts=SHOWN, first=1):
    return "\n".join(mark.format(n=n, q=q) for n, q in enumerate(prompts, first))


@pytest.mark.parametrize(
    ("text", "prompts"),
    [
        ("9. Why is tea hot?", [("Why is tea hot?", False)]),
        ("Why is tea hot?", [("Why is tea hot?", False)]),
        ("\n\n 9)  Why is\ttea hot?\n", [("Why is tea hot?", True)]),
        ("9. Why?\nBecause.\n1. Heat\n2. Fire", [("Why?", True)]),
        ("9. Why?\n\n10. How?\n11. When", [("Why?", True), ("How?", True), ("When", False)]),
        ("9. Why? 10. How?", [("Why?", True)]),
        ("Why? 10. How?", [("Why?", True)]),
        ("9. In 1999. 12. or so, why?", [("In 1999. 12. or so, why?", False)]),
        ("9. Why? Answer: because", [("Why?", True)]),
        ("Sure, here is one:\n9. Why?", [("Why?", False)]),
        ("Why?\n1. Heat\n2. Fire", [("Why?", True)]),
        ("3.5 or 4?", [("3.5 or 4?", False)]),
        ("1. Why?\n2. How?", [("Why?", True), ("How?", False)]),
        ("- Why?\n- How?", [("Why?", True), ("How?", False)]),
        ("Why?\n- Heat\n- Fire", [("Why?", True)]),
        ("9.", []),
        ('["", "Why?"]', [("Why?", True)]),
        ("", []),
    ],
)
def test_prompts_are_read_line_by_line_and_cut_where_the_model_goes_on(text, prompts):
    assert [(prompt.text, prompt.complete) for prompt in read(text)] == prompts


NUMBERS = r"""
9. {q}|9) {q}|9: {q}|9 - {q}|9 – {q}|(9) {q}|[9] {q}|**9.** {q}|**9**. {q}|**9. {q}**|### 9. {q}|#9: {q}|- 9. {q}
> 9. {q}|9️⃣ {q}|🐝 9. {q}|9、{q}|９．{q}|九、{q}|第9题：{q}|问题9：{q}|9번째 요청: {q}|질문 9: {q}|9.\n{q}
Task 9: {q}|Request #9: {q}|Prompt 9 - {q}|**Task 9:** {q}|**Request 9**\n\n{q}|Task 9:\n{q}|Q9: {q}|No. 9: {q}
9th request: {q}|Request number 9: {q}|Request (9): {q}|User 9: {q}|Pregunta 9: {q}|Solicitud número 9: {q}
1. {q}|1) {q}|10. {q}|13. {q}|a) {q}|A. {q}|IX. {q}|- {q}|* {q}|• {q}|9. "{q}"|9. *{q}*|9. **Nature:** {q}|9. **Request:** {q}
"""
DRESS = r"""
"{q}"|“{q}”|«{q}»|**{q}**|`{q}`|> {q}|<request>{q}</request>|<li>{q}</li>|```\n{q}\n```|```text\n9. {q}\n```
"""
TALK = r"""
Sure! {q}|Sure! Here's the next request: {q}|Sure! Here is another request that a user could send:\n\n9. {q}
Certainly! Here is a new request:\n\n{q}|Of course! Here is a new request for the list.\n\n{q}|Next request: {q}
Here is the next request:\n\n"{q}"|Here's one more request for your list: {q}|**Next request:** {q}|New request:\n{q}
## New Request\n\n{q}|Request: {q}|Question: {q}\nAnswer: By the sun.|User: {q}\nAssistant: By the sun.
Absolutely, here's the next one:\n9. {q}|A new request might be: {q}|Here's a possible request:\n- {q}
The next request in the list could be:\n\n{q}|I will add the following request:\n9. {q}
Let me come up with a new request.\n\n{q}|Okay, so the user wants one more. The list has tea and cars.\n\n9. {q}
The list covers:\n1. Tea\n2. Cars\n\nNew request: {q}|9. {q}\n\nThis request is on a new subject.|9. {q} (Answer: the sun)
{q}\n\n---\n\nThis request differs from the others.|{q}\n\nBees use the sun as a compass.|9. {q}\n\nAnswer: by the sun.
好的，以下是新的请求：\n\n{q}|当然！下一个请求是：{q}|新请求：{q}|好的。{q}|はい、次のリクエストです：\n9. {q}|次のリクエスト：{q}
もちろんです！{q}|다음 요청은 다음과 같습니다:\n\n{q}|새로운 요청: {q}|네, 알겠습니다. {q}|¡Claro! Aquí tienes otra solicitud:\n\n9. {q}
Nueva solicitud: {q}|Por supuesto. {q}|Claro, aquí está la siguiente pregunta: {q}|Voici une nouvelle demande : {q}
Bien sûr ! {q}|Hier ist eine neue Anfrage:\n\n{q}|Natürlich! Hier ist die nächste Anfrage: {q}|Ecco una nuova richiesta: {q}
Вот новый запрос:\n{q}|Конечно! Вот следующий запрос: {q}|Claro! Aqui está um novo pedido:\n{q}
"""
THOUGHT = r"""
<think>\nTea is there. Maybe 9. Cars?\n</think>\n\n9. {q}|<think></think>{q}|tea is there, so bees.\n</think>\n\n{q}
<thinking>hm</thinking>\n{q}|[THINK]9. Cars?[/THINK]{q}
"""
JSON = r"""
["{q}"]|[\n  "{q}"\n]|{"request": "{q}"}|[{"id": 9, "request": "{q}"}]|```json\n{"prompt": "{q}"}\n```|{"9": "{q}"}
Here is the JSON:\n```json\n["{q}"]\n```|{"requests": ["{q}"]}|{"number": 9, "text": "{q}"}|["{q}", "How to
{"request": "{q}"}\n{"request": "Why?"}
"""


FORMS = [
    form.replace(r"\n", "\n")
    for table in (NUMBERS, DRESS, TALK, THOUGHT, JSON)
    for line in table.strip().splitlines()
    for form in line.split("|")
]
COPIES = [
    listed("{n}. {q}") + "\n9. {q}",
    listed("**{n}.** {q}") + "\n**9.** {q}",
    listed("- {q}") + "\n- {q}",
    listed("{q}") + "\n{q}",
    listed("{n}. {q}", SHOWN[:3]) + "\n4. {q}",
    listed("{n}. {q}", SHOWN[7:], 8) + "\n9. {q}",
    "Here is the list:\n" + listed("{n}. {q}") + "\n\nNext request:\n\n{q}",
    listed("{n}. {q}", [prompt.upper() for prompt in SHOWN]) + "\n9. {q}",
    json.dumps(SHOWN)[:-1] + ', "{q}"]',
]
QUESTIONS = [
    "How do bees find their way home?",
    "蜜蜂是怎么找到回家的路的？",
    "꿀벌은 어떻게 집을 찾아갑니까?",
    "¿Cómo vuelven las abejas a casa?",
]


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_prompt_is_found_in_every_form_that_models_write(question):
    for form in FORMS:
        prompts = [prompt.text for prompt in read(form.replace("{q}", question))]
        assert prompts[:1] == [question], form


@pytest.mark.parametrize("form", COPIES)
def test_examples_that_the_model_repeats_are_told_from_the_prompt_behind_them(form):
    *copies, new = read(form.replace("{q}", QUESTIONS[0]))
    assert all(prompt.copied for prompt in copies)
    assert (new.text, new.copied) == (QUESTIONS[0], False)


@pytest.mark.parametrize(
    "text",
    [
        "Sure! Here is the next request:",
        "Certainly!",
        "Sure, I can help you with that!\n\nWhat would you like?",
        "Here is a new request for the list.",
        "**New request:**",
        "Next request",
        "I'm sorry, but I can't help with that.",
        "As an AI language model, I cannot write requests.",
        "好的，以下是新的请求：",
        "다음은 새로운 요청입니다:",
        "<think>The list has tea. 9. What is it? about bees",
        "```json\n",
        "{",
        "[\n",
        '{"request": "How to',
    ],
)
def test_an_answer_that_is_all_talk_or_cut_off_before_a_prompt_has_none(text):
    assert read(text) == []


@pytest.mark.parametrize(
    "prompt",
    [
        "Here is my code: print(1). Why does it fail?",
        "I have a list of names: Ann, Bob. Sort it backwards.",
        "I will give you three words and you make a story of them.",
        "Let's play a game where you are a wizard and I am a knight.",
        "Correct the following sentence: he go home.",
        "Translate to French: good morning, my friend",
        "Answer in one word: what is the capital of Peru?",
        "Next year I turn forty: how should I celebrate?",
        "New York or London, which is older?",
        "User interfaces of the nineties: what were they like?",
        "Note taking: which method is best?",
        "Great Britain and Ireland: how do they differ?",
        "10 ideas for a birthday party, please",
        "2:30 pm meeting invitation for my team, please",
        "10-day itinerary for Rome, with children",
        "1984 by Orwell: what is it about?",
        '"To be or not to be" is from which play?',
        "**Bold** text in Markdown, how do I write it?",
        "Write a haiku about spring!",
        "好听的中文名字有哪些？",
        "다음 문장을 영어로 번역하세요: 안녕",
        "Claro que el agua moja, pero ¿por qué?",
        "Hier in Berlin regnet es: was soll ich tun?",
    ],
)
def test_a_prompt_that_begins_as_talk_or_a_list_does_stays_as_it_is(prompt):
    assert [(one.text, one.copied) for one in read(prompt)] == [(prompt, False)]


def test_the_questions_of_the_embedded_world_stay_as_they_are():
    questions = [text for phrasings in PHRASINGS.values() for text in phrasings]
    assert [read(question)[0].text for question in questions] == questions


@pytest.mark.parametrize(
    "piece",
    [
        *("Sure! ", "9. ", "**", "1. Why?\n", "Here is the next request. ", '["', "{}", "[", "a: "),
        *(
            "9 9 ",
            "Tell me what is red in a garden and why!\n",
            "\n",
            "<think>",
            '"a" ',
            "Request: ",
        ),
    ],
)
def test_a_long_answer_of_anything_takes_linear_time(piece):
    started = time.process_time()
    list(new_prompts(piece * (100_000 // len(piece)), SHOWN))
    assert time.process_time() - started < 5
