"""Ask a vision-language model questions about generated videos, their references and controls.

clipmill run stages/recipes/judge.py videos=MADE reference=TRUTH store=DIR model=NAME endpoint=URL
"""

from manifests import NonNegativeFloat, PositiveFloat, PositiveInt
from pipeline import Dag
from stages.judge.judge_video import JudgeVideo
from stages.judge.list_questions import ListQuestions
from stages.recipes.semantics import ModelPlace

_QUESTIONS_PER_PART = 64


def judge(
    videos: str,
    reference: str,
    model: str,
    endpoint: str = "",
    questions: str = ListQuestions.questions,
    given_frames: PositiveInt = ListQuestions.given_frames,
    compare: tuple[str, ...] = (),
    prompt: str = JudgeVideo.prompt,
    sample_fps: PositiveFloat = JudgeVideo.sample_fps,
    image_px: PositiveInt = JudgeVideo.image_px,
    max_images: PositiveInt = JudgeVideo.max_images,
    gpus: NonNegativeFloat = 0.0,
) -> Dag:
    """Answer questions about generated videos; `clipmill evaluate world --answers` makes a table of them.

    Args:
        videos: Folder of generated videos, NAME.mp4, or NAME__0.mp4, NAME__1.mp4 … for several seeds.
        reference: Folder of reference videos NAME.mp4, with captions in NAME.txt or in list.csv.
        model: Vision-language model that answers: a folder, OWNER/NAME, or the name that the endpoint uses.
        endpoint: URL of an OpenAI-compatible endpoint up to /v1, or several with one model, separated by
            blanks; or env:NAME to read them from an environment variable of the workers. Empty: the model
            runs in the workers.
        questions: YAML file of questions with id, question, answer (yes or no) and category; or world for the
            built-in list.
        given_frames: Frames at the start that the model was given. The control constant velocity continues
            the motion of the last two, or of the first two. Higher lets it see more.
        compare: Folders of more videos as further rows of the table, each as ROW=DIR.
        prompt: Prompt of the model: judge, or the path of a file.
        sample_fps: Images per second of a video that the model sees. Higher shows more and costs more.
        image_px: Longer side of an image in px. Higher shows more detail and costs more.
        max_images: Maximum number of images of a video. Higher shows more of long videos and costs more.
        gpus: GPUs of one worker if the model runs in the workers; below 1, workers share a GPU.
    """
    dag = Dag("judge")
    listed = ListQuestions(
        videos=videos,
        reference=reference,
        questions=questions,
        given_frames=given_frames,
        compare=compare,
    )
    stage = JudgeVideo(
        model=model,
        endpoint=endpoint,
        prompt=prompt,
        sample_fps=sample_fps,
        image_px=image_px,
        max_images=max_images,
    )
    place = ModelPlace(endpoint, 0.0 if endpoint else gpus)
    rows = dag.read(listed, rows_per_part=_QUESTIONS_PER_PART)
    dag.save(rows.annotate(stage.on(gpus=place.gpus, batch=place.batch)), "answers")
    return dag
