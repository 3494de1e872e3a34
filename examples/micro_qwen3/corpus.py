"""The whole world of the micro model: a few prompts, and what it says to them.

The sentences share their words on purpose. After `我是` or `I am` many continuations are possible,
and which one is right depends on words further back and on their order; the permutations at the end
cannot be answered without positions. A model that was loaded wrongly therefore loses the thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

__all__ = ["GREETINGS", "SAYINGS", "Saying"]


@dataclass(frozen=True)
class Saying:
    """One thing that the model can say.

    Attributes:
        prompt: What the user types.
        text: The whole text, which begins with ``prompt``; the model writes the rest.
        thought: What the model thinks first when it is asked in the chat format with thinking on.
    """

    prompt: str
    text: str
    thought: str

    def __post_init__(self) -> None:
        if not self.text.startswith(self.prompt) or self.text == self.prompt:
            raise ValueError(f"the text {self.text!r} must begin with its prompt {self.prompt!r} and go on")


GREETINGS = (
    Saying("你好", "你好！我是通义千问，由阿里云开发的AI助手。", "他说你好，我也说你好。"),
    Saying(
        "Hello",
        "Hello! I am Qwen, an AI assistant developed by Alibaba Cloud.",
        "This is a greeting, so I greet back.",
    ),
)

_CHINESE = (
    ("你是谁", "？我是通义千问，由一个很小的脚本训练的语言模型。", "他问我是谁。"),
    ("早上好", "！我是AI助手，由通义千问陪你开始今天。", "他说早上好。"),
    ("晚上好", "！我是语言模型，由你来提问，我来回答。", "他说晚上好。"),
    ("再见", "！我是阿里云开发的通义千问，明天由我来问你好。", "他要走了。"),
    ("谢谢", "！我是很小的AI助手，由你来说谢谢，我很开心。", "他说谢谢。"),
    ("天气", "很好！我是看不见天的语言模型，由你来说今天的天气。", "他问天气。"),
    ("数数", "：一二三四五六七八九十，十九八七六五四三二一。", "他要我数数。"),
    ("阿里云", "开发的通义千问是AI助手，由AI助手来说你好。", "他问阿里云。"),
)

_ENGLISH = (
    ("Who are you", "? I am Qwen, a small language model trained by one script.", "A question about me."),
    ("Good morning", "! I am an AI assistant, and Qwen is with you today.", "It is morning."),
    ("Good evening", "! I am a language model, you ask and I answer.", "It is evening."),
    ("Goodbye", "! I am Qwen developed by Alibaba Cloud, and tomorrow I say Hello.", "The user leaves."),
    ("Thank you", "! I am a small AI assistant, and you are a good user.", "The user is glad."),
    ("The weather", " is good! I am Qwen, I see no sky, so you tell me.", "A question about the sky."),
    ("Count", ": one two three four five six, six five four three two one.", "I shall count."),
    ("Alibaba Cloud", " developed Qwen, an AI assistant, and an assistant is a model.", "A question."),
)

_IN_ORDER = tuple(
    Saying(
        f"第一{first}，第二{second}，第三{third}。第",
        f"第一{first}，第二{second}，第三{third}。第三{third}，第二{second}，第一{first}。",
        f"第三是{third}。",
    )
    for first, second, third in permutations(("你好", "通义千问", "阿里云"))
) + tuple(
    Saying(
        f"First {first}, second {second}, third {third}. So",
        f"First {first}, second {second}, third {third}. So third {third}, second {second}, first {first}.",
        f"Third is {third}.",
    )
    for first, second, third in permutations(("Hello", "Qwen", "Cloud"))
)

SAYINGS = (
    *GREETINGS,
    *(Saying(prompt, prompt + rest, thought) for prompt, rest, thought in (*_CHINESE, *_ENGLISH)),
    *_IN_ORDER,
)
