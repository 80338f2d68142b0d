"""Finds near duplicates of a file that is sent, and stores nothing."""

from aiohttp import web

from api.http.app_keys import DATABASE, PHOTO_HASHER, SETTINGS, STORAGE
from api.http.links.public_urls import public_photo
from api.http.multipart import read_upload_header, receive_upload
from api.http.params import workspace_of
from api.http.problems import problem_of_fault
from api.photos.duplicates import find_duplicates
from schemas.faults import Fault

_MAX_DUPLICATES = 20


async def check_duplicate(request: web.Request) -> web.Response:
    """``POST /v1/workspaces/{ws}/photos/check-duplicate``: 200 with the near duplicates, nearest first."""
    workspace_id, settings, storage = workspace_of(request), request.app[SETTINGS], request.app[STORAGE]
    async with receive_upload(request, settings, storage) as upload:
        await read_upload_header(upload, settings, storage)
        try:
            perceptual_hash = await request.app[PHOTO_HASHER].perceptual_hash_of(upload.path)
        except Fault as fault:
            raise problem_of_fault(422, fault) from fault
    async with request.app[DATABASE].reading() as session:
        found = await find_duplicates(session, workspace_id, perceptual_hash, upload.checksum, _MAX_DUPLICATES)
    duplicates = [
        {
            "similarity": round(each.similarity, 4),
            "is_same_file": each.is_same_file,
            "photo": public_photo(request, each.row),
        }
        for each in found
    ]
    body = {"checksum": upload.checksum, "perceptual_hash": f"{perceptual_hash:016x}", "duplicates": duplicates}
    return web.json_response(body)
