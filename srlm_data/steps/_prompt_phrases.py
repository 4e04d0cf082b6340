"""What models say around a prompt that they were asked for, in a dozen languages."""

from __future__ import annotations

from typing import Final

import regex


def _any_of(phrases: str) -> str:
    """An alternation of phrases that commas and lines separate; the longest first."""
    listed = sorted((one.strip() for one in phrases.replace("\n", ",").split(",")), key=len)
    return "|".join(regex.escape(one, literal_spaces=True) for one in reversed(listed) if one)


_ITEMS: Final = _any_of(
    """
    request, prompt, question, instruction, task, query, queries, item, entry, entries, example
    solicitud, pregunta, petición, peticion, consulta, instrucción, tarea, ejemplo
    pedido, pergunta, solicitação, instrução, tarefa, exemplo
    demande, requête, consigne, instruction, tâche
    anfrage, frage, aufgabe, anweisung, eintrag, beispiel
    richiesta, richieste, domanda, istruzione, compito
    запрос, вопрос, задание, задани, задача
    """
)
_UNSPACED_ITEMS: Final = _any_of(
    """
    请求, 請求, 问题, 問題, 指令, 提示, 任务, 任務, 题目, 需求
    質問, リクエスト, 依頼, タスク, 指示, プロンプト
    요청, 질문, 과제, 프롬프트, 지시, 작업
    """
)
_OPENERS: Final = _any_of(
    """
    here, below, the next, the new, the following, following, next, new, another, one more, final
    a new, a possible, my new, my next, this is a new, this is the next, this is another
    i will add, i'll add, i will write, i'll write, i will provide, i'll provide, i have added
    i've added, let me add, let me think, let me write, let me provide, let me create, let me come
    as requested, as you asked, adding, added, we need to, we have to, the user wants, the user asks
    looking at, so the next, so a new, a request, one possible, how about
    aquí, a continuación, la siguiente, el siguiente, la nueva, siguiente, nueva, nuevo, otra, otro
    una nueva, un nuevo, esta es, este es, voy a añadir, voy a escribir
    aqui, a seguir, segue, a próxima, o próximo, a nova, próxima, próximo, nova, novo, outra, outro
    uma nova, um novo, vou adicionar, vou escrever
    voici, ci-dessous, la prochaine, la suivante, la nouvelle, prochaine, nouvelle, une autre
    une nouvelle, je vais ajouter, je vous propose
    hier, nachfolgend, die nächste, die neue, die folgende, nächste, neue, eine weitere, eine neue
    weitere, ich füge
    ecco, di seguito, la prossima, la nuova, prossima, nuova, un'altra, una nuova
    вот, ниже, следующий, следующая, новый, новая, новое, ещё один, еще один
    """
)
_UNSPACED_OPENERS: Final = _any_of(
    """
    以下, 下面, 这是, 這是, 这里是, 接下来, 接下來, 下一, 新的, 新, 另一, 另外, 一个新
    我将, 我会, 我来, 继续
    次の, 次は, こちら, 新しい, もう一つ, もうひとつ, では、, 追加
    다음, 여기, 아래, 새로운, 새, 또 다른, 추가, 이어서
    """
)

GREETING: Final = regex.compile(
    r"(?:\W*+(?:{})(?: thing)?(?:\s*[,.!;。，！；、…]+|\s+[-–—]|[:：]\s)[\s*_]*+)+".format(
        _any_of(
            """
            sure, certainly, of course, absolutely, definitely, okay, ok, alright, all right, great
            got it, understood, no problem, gladly, with pleasure, great question, perfect
            claro, claro que sí, por supuesto, desde luego, entendido, de acuerdo, vale, perfecto
            com certeza, certo, certamente, perfeito
            bien sûr, bien entendu, d'accord, volontiers, avec plaisir, très bien
            natürlich, gerne, gern, klar, selbstverständlich, verstanden, in ordnung
            certo, certamente, va bene, d'accordo, perfetto
            конечно, хорошо, понятно, отлично, разумеется
            好的, 好, 当然, 當然, 当然可以, 没问题, 沒問題, 可以, 明白, 明白了, 收到
            はい, もちろん, もちろんです, 承知しました, 承知いたしました, わかりました
            かしこまりました
            네, 예, 물론, 물론입니다, 물론이죠, 알겠습니다, 좋습니다
            """
        )
    ),
    regex.IGNORECASE,
)
"""Interjections with which models begin, and users' requests do not."""

TALK: Final = regex.compile(
    r"\W*+(?:{})".format(
        _any_of(
            """
            here is the list, here's the list, here is the continued, here's the continued
            here is the updated, here's the updated, continuing the list, i'll continue
            i will continue, to continue the list, the list has, the list covers, the list contains
            i hope this, let me know if, feel free to, this request, this prompt, this question
            note:, note that, please note, explanation, would you like me, do you want me
            i'm sorry, i am sorry, as an ai, as a language model, i cannot, i can't, i'm unable
            i am unable, i'm just, i'd be happy to, i'm happy to, i'm glad to, happy to help
            espero que, esta solicitud, esta pregunta, nota:, lo siento, como modelo, no puedo
            desculpe, sinto muito, esta pergunta, não posso, désolé, je suis désolé, cette demande
            j'espère, en tant que, es tut mir leid, ich hoffe, diese anfrage, als ki, leider
            mi dispiace, spero che, questa richiesta, извините, к сожалению, надеюсь, этот запрос
            希望, 这个请求, 这个问题, 注意：, 注：, 抱歉, 对不起, 作为, 很抱歉, 如果您
            申し訳, すみません, このリクエスト, この質問, 注：
            죄송, 이 요청, 이 질문, 참고:, 도움이 되
            """
        )
    ),
    regex.IGNORECASE,
)
"""What is said about a request, or instead of one."""

_WHO: Final = r"user|human|用户|ユーザー|사용자"
ITEM: Final = (
    rf"(?:(?<!\p{{L}})(?:(?:{_ITEMS})\p{{L}}*|(?:{_WHO}|q|no|nr|nº)(?!\p{{L}}))"
    rf"|{_UNSPACED_ITEMS}|第|제)"
)
"""A word that an item of the list is called by."""

_OPENED: Final = regex.compile(
    rf"\W*+(?:(?:{_OPENERS})\b|{_UNSPACED_OPENERS}).*?(?:(?<!\p{{L}})(?:{_ITEMS})|{_UNSPACED_ITEMS}|{_WHO})",
    regex.IGNORECASE,
)
_LABEL: Final = regex.compile(rf"(?:\W*+{ITEM})+[\W\d]*+", regex.IGNORECASE)


def leads_to_prompt(text: str) -> bool:
    """Return whether a text only leads to a prompt: ``Here is the next request``, ``Question``.

    Args:
        text: what stands before a colon, or a sentence or line of its own.
    """
    return names_new_prompt(text) or _LABEL.fullmatch(text) is not None


def names_new_prompt(text: str) -> bool:
    """Return whether a text that leads to a prompt says that it is another than those before."""
    return _OPENED.match(text) is not None
