from rest_framework.decorators import api_view
from rest_framework.response import Response


@api_view(["GET"])
def orders(request):
    return Response({"sub": request.user.id})
